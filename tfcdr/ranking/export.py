"""Exports a ranking model for TensorFlow Serving."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from tfcdr.errors import RunError
from tfcdr.ranking.model import RankingModel
from tfcdr.ranking.retrieval import Retriever
from tfcdr.ranking.signatures import RECOMMEND, Signatures
from tfcdr.serving.saved_model import SERVING_DEFAULT, write_version
from tfcdr.serving.token_lookup import TokenLookup


def export_model(
    model: RankingModel,
    export_dir: Path,
    *,
    history_vocabulary: Path,
    target_vocabulary: Path,
    max_length: int,
    top_k: int,
    retrieval: str,
) -> Path:
    """Exports a model with the signatures of `signatures.py`.

    The version appears in one rename; see `saved_model.write_version`.

    Args:
      model: the model to serve.
      export_dir: the folder that the server watches; made if it is not there.
      history_vocabulary: text file, line i (from 0) is the raw id of item i + 1 of histories.
      target_vocabulary: the same for the items that the model ranks.
      max_length: items of a history that the model reads.
      top_k: items that `recommend` returns.
      retrieval: one of `retrieval.KINDS`.

    Returns:
      The folder of the new version, `export_dir`/<one more than the highest there>.

    Raises:
      RunError: a vocabulary does not fit the model, `retrieval` cannot be had, or the folder
        cannot be written.
    """
    histories, targets = TokenLookup(history_vocabulary), TokenLookup(target_vocabulary)
    if targets.size != model.num_items:
        raise RunError(
            f"{target_vocabulary}: has {targets.size} items, but the model ranks "
            f"{model.num_items}; give the data set that the model was trained on."
        )
    retriever = Retriever(model, retrieval, top_k)
    signatures = Signatures(model, retriever, histories, targets, max_length).concrete()
    requests = _example_requests(histories, targets, max_length)
    return write_version(export_dir, signatures, requests, [histories, targets])


def _example_requests(
    histories: TokenLookup, targets: TokenLookup, max_length: int
) -> dict[str, dict[str, np.ndarray]]:
    def most_popular(lookup: TokenLookup, count: int) -> np.ndarray:
        return lookup.tokens(tf.range(1, min(count, lookup.size) + 1)[tf.newaxis]).numpy()

    history = most_popular(histories, max_length)
    items = most_popular(targets, 10)
    return {
        SERVING_DEFAULT: {"history": history, "candidates": items},
        RECOMMEND: {"history": history, "seen_items": items},
    }
