"""EASE: the linear map of an item's users to another's that a ridge regression finds."""

import numpy as np
import scipy.linalg
import scipy.sparse

from tfcdr.errors import RunError
from tfcdr.ranking.neighbours.tables import NeighbourTables

# Whose square is inverted: 2.5 GB in float32.
MOST_ITEMS = 25_000
_ITEMS_AT_ONCE = 512


def check_size(users: int, items: int, flag: str) -> None:
    """Raises RunError if neither users nor items are few enough to invert their matrix.

    Args:
      users: whose interactions train.
      items: of the histories.
      flag: that asked for EASE and can ask for item neighbours (cosine) instead.
    """
    if min(users, items) > MOST_ITEMS:
        raise RunError(
            f"a catalogue too large for EASE: it inverts a matrix of all items, {items:,}, or of "
            f"all users, {users:,}, of which at most {MOST_ITEMS:,} fit; use "
            f"{flag}=cosine, or read fewer domains."
        )


def regression_weights(
    matrix: scipy.sparse.csr_matrix, ranked: int, ridge: float, width: int
) -> NeighbourTables:
    """Fits B = I - P diag(1 / diag P), P = (X^T X + ridge I)^-1, and keeps its largest weights.

    The smaller of two matrices is inverted, of the items or of the users, whose size `check_size`
    bounds: by Woodbury's identity P = (I - X^T (X X^T + ridge I)^-1 X) / ridge.

    Args:
      matrix: X, float32 [users, items], who took what: what it counts, or 0.
      ranked: how many of the items, from the first on, are ranked.
      ridge: lambda, above 0.
      width: K, weights that are kept of an item.

    Source: Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019, eq. 8.
    """
    users, items = matrix.shape
    tables = NeighbourTables.empty(items, width)
    by_users = users < items
    square = (matrix @ matrix.T if by_users else matrix.T @ matrix).toarray(order="C")
    square[np.diag_indices(len(square))] += np.float32(ridge)
    inverse = _inverse(square)
    taken = matrix.T.tocsr()
    if by_users:
        # Of each item, x^T K x over its users.
        explained = np.concatenate(
            [np.asarray(block.multiply(block @ inverse).sum(1)).ravel() for block in _blocks(taken)]
        )
        diagonal = (1 - explained) / ridge
    else:
        diagonal = np.diag(inverse)
    columns = matrix[:, :ranked].tocsr()
    for first in range(0, items, _ITEMS_AT_ONCE):
        rows = taken[first : first + _ITEMS_AT_ONCE]
        if by_users:
            block = -((columns.T @ (rows @ inverse).T).T) / ridge
        else:
            block = inverse[first : first + _ITEMS_AT_ONCE, :ranked]
        weights = -block / diagonal[:ranked]
        own = np.arange(first, min(first + len(weights), ranked))
        weights[own - first, own] = 0
        tables.keep(first, _largest(weights, width))
    return tables


def _inverse(square: np.ndarray) -> np.ndarray:
    """Inverts a symmetric positive definite matrix, float32 [n, n], without room for another."""
    # LAPACK works in place on columns that follow each other, and writes one triangle.
    factor, _ = scipy.linalg.lapack.spotrf(square.T, lower=False, overwrite_a=True)
    inverse, _ = scipy.linalg.lapack.spotri(factor, lower=False, overwrite_c=True)
    inverse = inverse.T  # of which the lower triangle is there
    for first in range(0, len(inverse), _ITEMS_AT_ONCE):
        last = first + _ITEMS_AT_ONCE
        block = np.tril(inverse[first:last, first:last])
        inverse[first:last, first:last] = block + np.tril(block, -1).T
        inverse[first:last, last:] = inverse[last:, first:last].T
    return inverse


def _blocks(matrix: scipy.sparse.csr_matrix) -> list[scipy.sparse.csr_matrix]:
    starts = range(0, matrix.shape[0], _ITEMS_AT_ONCE)
    return [matrix[start : start + _ITEMS_AT_ONCE] for start in starts]


def _largest(weights: np.ndarray, width: int) -> scipy.sparse.csr_matrix:
    """Keeps of each row, float [n, items], the `width` values that are farthest from 0."""
    width = min(width, weights.shape[1])
    columns = np.argpartition(-np.abs(weights), width - 1, axis=1)[:, :width]
    values = np.take_along_axis(weights, columns, 1)
    starts = np.arange(len(weights) + 1) * width
    kept = scipy.sparse.csr_matrix((values.ravel(), columns.ravel(), starts), shape=weights.shape)
    kept.eliminate_zeros()
    return kept
