"""Exports ranking models for TensorFlow Serving."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tfcdr.errors import RunError
from tfcdr.ranking import target_signatures
from tfcdr.ranking.history_names import HistoryNames
from tfcdr.ranking.model import RankingModel
from tfcdr.ranking.recommender import Recommender
from tfcdr.ranking.retrieval import Retriever
from tfcdr.ranking.signatures import RECOMMEND, Signatures
from tfcdr.serving.saved_model import SERVING_DEFAULT, write_version
from tfcdr.serving.token_lookup import NameLookup, TokenLookup, write_vocabulary
from tfcdr.system import Serving


class ServedTarget(NamedTuple):
    """A model to serve.

    Attributes:
      domain: the target's name; "" if the ranked items are of several domains.
      model: ranks the target's items.
      histories: what histories may call the items that the model reads.
      items: the raw id of each item that the model ranks; that of id i + 1 stands at i.
      counts: int [items], training interactions of each.
      max_length: items of a history that the model reads.
      reads: of all items of the run, the ids of those that histories may hold.
      ranks: the ids of those that are ranked.
    """

    domain: str
    model: RankingModel
    histories: HistoryNames
    items: Sequence[str]
    counts: np.ndarray
    max_length: int
    reads: range
    ranks: range


def export_models(targets: Sequence[ServedTarget], export_dir: Path, serving: Serving) -> Path:
    """Exports models with the signatures of `signatures.py`, as one.

    The version appears in one rename; see `saved_model.write_version`.

    Args:
      targets: one, or several whose requests name the domain; see `target_signatures.py`.
      export_dir: the folder that the server watches; made if it is not there.
      serving: items that `recommend` returns, and how they are found.

    Returns:
      The folder of the new version, `export_dir`/<one more than the highest there>.

    Raises:
      RunError: a vocabulary does not fit the model, the retrieval cannot be had, or the folder
        cannot be written.
    """
    # The vocabularies are copied from here into the version.
    with tempfile.TemporaryDirectory() as folder:
        served = {}
        for number, target in enumerate(targets):
            served[target.domain] = signatures_of(target, Path(folder), number, serving)
        requests = _example_requests(targets[0])
        if len(served) == 1:
            (signatures,) = served.values()
            functions = signatures.concrete()
        else:
            functions = target_signatures.of_targets(served)
            domain = np.array([targets[0].domain], object)
            requests = {name: {**entry, "domain": domain} for name, entry in requests.items()}
        lookups = [lookup for s in served.values() for lookup in (s.histories, s.targets)]
        return write_version(export_dir, functions, requests, lookups)


def signatures_of(target: ServedTarget, folder: Path, number: int, serving: Serving) -> Signatures:
    """Makes what answers requests for one target.

    Args:
      target: the model and what its ids are called.
      folder: takes files with the names, which are read here and by `tf.saved_model.save`.
      number: distinguishes them from those of other targets.
      serving: items that `recommend` returns, and how they are found.

    Raises:
      RunError: a vocabulary does not fit the model, or the retrieval cannot be had.
    """
    names = write_vocabulary(folder / f"histories-{number}.txt", target.histories.names)
    histories = NameLookup(names, target.histories.ids)
    items = TokenLookup(write_vocabulary(folder / f"items-{number}.txt", target.items))
    if items.size != target.model.num_items:
        raise RunError(
            f"the data set has {items.size} items to rank, but the model ranks "
            f"{target.model.num_items}; give the data set that the model was trained on."
        )
    return Signatures(target.domain, recommender_of(target, serving), histories, items)


def recommender_of(target: ServedTarget, serving: Serving) -> Recommender:
    """Makes what ranks the items of a target by ids.

    Raises:
      RunError: the retrieval cannot be had.
    """
    retriever = Retriever(target.model, serving.retrieval, serving.top_k)
    return Recommender(target.model, retriever, target.counts, target.max_length)


def _example_requests(target: ServedTarget) -> dict[str, dict[str, np.ndarray]]:
    def some(tokens: Sequence[str], count: int) -> np.ndarray:
        return np.array([list(tokens[:count])], dtype=object)

    history, items = some(target.histories.names, target.max_length), some(target.items, 10)
    return {
        SERVING_DEFAULT: {"history": history, "candidates": items},
        RECOMMEND: {"history": history, "seen_items": items},
    }
