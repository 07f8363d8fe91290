"""Writes a SavedModel that TensorFlow Serving picks up as the next version of a model."""

import os
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfcdr.errors import RunError
from tfcdr.ranking import RankingModel
from tfcdr.serving import warmup
from tfcdr.serving.item_lookup import ItemLookup
from tfcdr.serving.retrieval import Retriever
from tfcdr.serving.signatures import (
    RECOMMEND,
    SERVING_DEFAULT,
    Signatures,
    captured_variables,
)


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

    The version appears in one rename, after the written model has answered its warm-up requests:
    a server that polls the folder sees the whole of it or nothing.

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
    histories, targets = ItemLookup(history_vocabulary), ItemLookup(target_vocabulary)
    if targets.size != model.num_items:
        raise RunError(
            f"{target_vocabulary}: has {targets.size} items, but the model ranks "
            f"{model.num_items}; give the data set that the model was trained on."
        )
    retriever = Retriever(model, retrieval, top_k)
    signatures = Signatures(model, retriever, histories, targets, max_length).concrete()
    requests = _example_requests(histories, targets, max_length)
    # The Keras model itself stays behind, with its optimizer's slots: only what is read travels.
    served = tf.Module()
    served.lookups = [histories, targets]
    served.weights = captured_variables(signatures)
    options = tf.saved_model.SaveOptions(namespace_whitelist=["Scann"])
    try:
        export_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=export_dir) as folder:
            unfinished = Path(folder) / "saved_model"
            tf.saved_model.save(served, os.fspath(unfinished), signatures, options)
            warmup.write_requests(unfinished, requests)
            _check_answers(unfinished, requests)
            return _publish(unfinished, export_dir)
    except (OSError, tf.errors.OpError) as error:
        raise RunError(f"{export_dir}: no version was written ({error}).") from error


def versions(export_dir: Path) -> list[int]:
    """Returns the versions in a folder, ascending."""
    return sorted(int(entry.name) for entry in export_dir.iterdir() if entry.name.isdecimal())


def _example_requests(
    histories: ItemLookup, targets: ItemLookup, max_length: int
) -> dict[str, dict[str, np.ndarray]]:
    def most_popular(lookup: ItemLookup, count: int) -> np.ndarray:
        return lookup.tokens(tf.range(1, min(count, lookup.size) + 1)[tf.newaxis]).numpy()

    history = most_popular(histories, max_length)
    items = most_popular(targets, 10)
    return {
        SERVING_DEFAULT: {"history": history, "candidates": items},
        RECOMMEND: {"history": history, "seen_items": items},
    }


def _check_answers(saved_model: Path, requests: warmup.Requests) -> None:
    """Loads the export and lets it answer each request; raises TensorFlow's error if it cannot."""
    signatures = tf.saved_model.load(os.fspath(saved_model)).signatures
    for name, inputs in requests.items():
        signatures[name](**{key: tf.constant(rows) for key, rows in inputs.items()})


def _publish(unfinished: Path, export_dir: Path) -> Path:
    """Renames a finished SavedModel to the next version, also while others export."""
    while True:
        path = export_dir / str(max(versions(export_dir), default=0) + 1)
        try:
            # Another export's folder is never replaced: rename refuses one that holds files.
            unfinished.rename(path)
        except OSError:
            if not path.exists():
                raise
        else:
            return path
