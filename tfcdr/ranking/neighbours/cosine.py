"""How near items are by those who took both."""

import dataclasses
import itertools

import numpy as np
import scipy.sparse

from tfcdr.ranking.neighbours.tables import NeighbourTables

# Pairs of interactions that are counted at once: some 200 MB.
_PAIRS_AT_ONCE = 1 << 24


@dataclasses.dataclass(frozen=True)
class Nearness:
    """What two items' common users are divided by: n_j^(1-a) * n_i^a + s.

    Here n_j are the users of the history's item and n_i those of the ranked one. Where some
    interactions count more than others, common users are the sum of products of what the two count
    and n that of squares, so that a = 0.5 is the cosine still.

    Attributes:
      popularity: a; 0.5 is the cosine, and 0 the share of the history's item's users who took the
        other, too, which is the bolder about popular items.
      shrinkage: s; the greater, the less do pairs count that few users have in common.
    """

    popularity: float
    shrinkage: float


def similar_items(
    matrix: scipy.sparse.csr_matrix, ranked: int, nearness: Nearness, width: int
) -> NeighbourTables:
    """Finds the nearest ranked items of every item, block by block of items.

    Args:
      matrix: float32 [users, items], who took what: what it counts, or 0.
      ranked: how many of the items, from the first on, are ranked.
      nearness: what counts as near.
      width: K, neighbours of an item.

    Source: Sarwar et al., "Item-based collaborative filtering recommendation algorithms", WWW 2001
    (cosine); Deshpande and Karypis, "Item-based top-N recommendation algorithms", 2004 (K
    neighbours, conditional probability).
    """
    items = matrix.shape[1]
    tables = NeighbourTables.empty(items, width)
    users_of = matrix.T.tocsr()
    taken = matrix[:, :ranked].tocsr()
    counts = np.asarray(users_of.power(2).sum(1, dtype=np.float64)).ravel().astype(np.float32)
    divisors = counts ** (1 - nearness.popularity), counts**nearness.popularity
    # Every block holds about as many pairs, so that its products fit into memory.
    pairs = np.cumsum(users_of @ np.diff(taken.indptr).astype(np.float64))
    blocks = np.floor(pairs / _PAIRS_AT_ONCE)
    edges = np.flatnonzero(np.diff(blocks, prepend=-1, append=np.inf))
    for first, last in itertools.pairwise(edges.tolist()):
        common = users_of[first:last] @ taken
        item = first + np.repeat(np.arange(last - first), np.diff(common.indptr))
        other = common.indices
        common.data /= divisors[0][item] * divisors[1][other] + np.float32(nearness.shrinkage)
        common.data[item == other] = 0
        common.eliminate_zeros()
        tables.keep(first, common)
    return tables
