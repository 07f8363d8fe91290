"""Exports ranking models for TensorFlow Serving."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tfcdr.errors import RunError
from tfcdr.ranking.model import RankingModel
from tfcdr.ranking.retrieval import Retriever
from tfcdr.ranking.signatures import RECOMMEND, Signatures
from tfcdr.ranking.target_signatures import TargetSignatures
from tfcdr.serving.saved_model import SERVING_DEFAULT, write_version
from tfcdr.serving.token_lookup import TokenLookup, write_vocabulary
from tfcdr.system import Serving


class ServedTarget(NamedTuple):
    """A model to serve.

    Attributes:
      domain: the target's name, where several are served as one.
      model: ranks the target's items.
      histories: the raw id of each item of histories; that of id i + 1 stands at i.
      items: the same for the items that the model ranks.
      max_length: items of a history that the model reads.
    """

    domain: str
    model: RankingModel
    histories: Sequence[str]
    items: Sequence[str]
    max_length: int


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
            served[target.domain] = _signatures(target, Path(folder), number, serving)
        requests = _example_requests(targets[0])
        if len(served) == 1:
            (signatures,) = served.values()
            functions = signatures.concrete()
        else:
            functions = TargetSignatures(served).functions()
            domain = np.array([targets[0].domain], object)
            requests = {name: {**entry, "domain": domain} for name, entry in requests.items()}
        lookups = [lookup for s in served.values() for lookup in (s.histories, s.targets)]
        return write_version(export_dir, functions, requests, lookups)


def _signatures(target: ServedTarget, folder: Path, number: int, serving: Serving) -> Signatures:
    lookups = [
        TokenLookup(write_vocabulary(folder / f"{name}-{number}.txt", tokens))
        for name, tokens in (("histories", target.histories), ("items", target.items))
    ]
    if lookups[1].size != target.model.num_items:
        raise RunError(
            f"the data set has {lookups[1].size} items to rank, but the model ranks "
            f"{target.model.num_items}; give the data set that the model was trained on."
        )
    retriever = Retriever(target.model, serving.retrieval, serving.top_k)
    return Signatures(target.model, retriever, *lookups, target.max_length)


def _example_requests(target: ServedTarget) -> dict[str, dict[str, np.ndarray]]:
    def some(tokens: Sequence[str], count: int) -> np.ndarray:
        return np.array([list(tokens[:count])], dtype=object)

    history, items = some(target.histories, target.max_length), some(target.items, 10)
    return {
        SERVING_DEFAULT: {"history": history, "candidates": items},
        RECOMMEND: {"history": history, "seen_items": items},
    }
