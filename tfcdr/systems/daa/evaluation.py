"""Scores every held-out impression and tells, task by task, how good the probabilities are."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import tensorflow as tf

from tfcdr.data_source import ImpressionSource
from tfcdr.distribution.one_device import Distribution
from tfcdr.errors import RunError
from tfcdr.evaluator import Evaluator
from tfcdr.label_prediction.metrics import auc_influence, chunked, exact_auc, log_loss
from tfcdr.stage import Stage
from tfcdr.systems.daa.backbone import TASKS, Backbone
from tfcdr.systems.daa.task_model import MODEL, ImpressionModel
from tfcdr.transfer_gain import TransferGain

CONSTANT = "constant"
_MONITORS = ("AUC", *(f"{task}_AUC" for task in TASKS))
_NORMAL_975 = 1.959964


@dataclasses.dataclass(frozen=True)
class ImpressionEvaluationOptions:
    """How probabilities of clicks and conversions are scored and which figure decides.

    Attributes:
      monitor: the validation figure that selects the best epoch: "click_AUC", "conversion_AUC", or
        "AUC", their mean.
      batch_size: impressions scored at once.
      chunk_rows: if positive, the tables also hold AUC and log loss as the release reports them,
        as an unweighted mean over chunks of so many rows (the release's: 2097152).
    """

    monitor: str = "AUC"
    batch_size: int = 8192
    chunk_rows: int = 0

    def __post_init__(self) -> None:
        """Refuses values out of range.

        Raises:
          ValueError: naming the field.
        """
        if self.monitor not in _MONITORS:
            raise ValueError(
                f"monitor must be one of {', '.join(_MONITORS)}. Received: {self.monitor!r}."
            )
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be positive. Received: {self.batch_size}.")
        if self.chunk_rows < 0:
            raise ValueError(f"chunk_rows must be at least 0. Received: {self.chunk_rows}.")

    def check_comparable(self) -> None:
        """Every monitor can say whether a transfer helped."""


class ImpressionScores(NamedTuple):
    """Labels and probabilities of a split, in the order of its rows.

    Attributes:
      labels: float32 [rows, tasks], 0 or 1, tasks in the order of `backbone.TASKS`.
      probabilities: float32 [rows, tasks] by scorer.
    """

    labels: np.ndarray
    probabilities: dict[str, np.ndarray]


class ImpressionEvaluator(Evaluator):
    """Exact AUC and log loss over all rows at once; processes share the scoring.

    A target model that started from a source model stands beside that, applied as it is; every
    scorer stands beside the best constant.
    """

    def __init__(
        self,
        data: ImpressionSource,
        options: ImpressionEvaluationOptions,
        distribution: Distribution,
    ) -> None:
        """Creates the evaluator.

        Args:
          data: a prepared data set.
          options: what is reported.
          distribution: the devices and processes that share each batch.
        """
        self.monitor = options.monitor
        self._data = data
        self._options = options
        self._distribution = distribution
        self._batch_size = distribution.shared_batch_size(options.batch_size)
        # By the network's identity; each keeps its network, so that an identity is not used again.
        self._compiled: dict[int, tuple[Backbone, Callable[..., tf.Tensor]]] = {}

    def check_data(self, stage: Stage, split: str) -> None:
        """Opens a split; reads the labels of validation, which chooses the epoch.

        Raises:
          RunError: a class that the monitored figure needs does not occur.
        """
        batches = self._batches(stage, split)
        if split != "validation":
            return
        counts = np.zeros(1 + len(self._monitored))
        for batch in batches:
            present = batch["example_weight"].numpy()
            of_tasks = [present @ batch[task].numpy() for task in self._monitored]
            counts += [present.sum(), *of_tasks]
        rows, *positives = self._distribution.add_up(counts)
        alike = [t for t, n in zip(self._monitored, positives, strict=True) if n in (0, rows)]
        if alike:
            raise RunError(
                f"stage {stage.name}: the {int(rows):,} validation rows are all alike in "
                f"{' and '.join(alike)}, so that {self.monitor} has no value; convert with a "
                "larger --impression_split.validation_share, or choose another "
                "--impression_evaluation.monitor."
            )

    def validation(self, stage: Stage, model: ImpressionModel) -> dict[str, float]:
        return self.headline(self._scores(stage, {MODEL: model.network}, "validation"))

    def scores(self, stage: Stage, model: ImpressionModel, split: str) -> ImpressionScores:
        return self._scores(stage, model.scorers(), split)

    def headline(self, scores: ImpressionScores) -> dict[str, float]:
        """Returns the model's figures: "AUC", and for each task "click_AUC", "click_log_loss"."""
        figures = {}
        for task, labels, probabilities in _by_task(scores, MODEL):
            figures[f"{task}_AUC"] = exact_auc(labels, probabilities)
            figures[f"{task}_log_loss"] = log_loss(labels, probabilities)
        mean = float(np.mean([figures[f"{task}_AUC"] for task in TASKS]))
        return {"AUC": mean, **figures}

    def table(self, scores: ImpressionScores) -> list[dict[str, Any]]:
        """Returns a row for each task and scorer."""
        rows = []
        for scorer in (*scores.probabilities, CONSTANT):
            for task, labels, probabilities in _by_task(scores, scorer):
                row = {
                    "task": task,
                    "scorer": scorer,
                    "rows": len(labels),
                    "positives": int(labels.sum()),
                    "AUC": exact_auc(labels, probabilities),
                    "log loss": log_loss(labels, probabilities),
                }
                if self._options.chunk_rows:
                    chunks = chunked(labels, probabilities, self._options.chunk_rows)
                    row["chunked AUC"] = float(chunks["auc"].mean())
                    row["chunked log loss"] = float(chunks["log_loss"].mean())
                rows.append(row)
        return sorted(rows, key=lambda row: TASKS.index(row["task"]))

    def format_table(self, rows: Sequence[dict[str, Any]]) -> str:
        table = pd.DataFrame(rows)
        return table.to_string(index=False, float_format=lambda value: f"{value:.4f}")

    def transfer_gain(
        self, transfer: ImpressionScores, no_transfer: ImpressionScores, seed: int
    ) -> TransferGain:
        """Compares two models on the same rows; the interval is DeLong's, nothing is drawn.

        Raises:
          ValueError: the rows differ.
        """
        del seed
        if not np.array_equal(transfer.labels, no_transfer.labels):
            raise ValueError("The two models scored different impressions.")
        values, influences = [], []
        for scores in (transfer, no_transfer):
            columns = {task: pair for task, *pair in _by_task(scores, MODEL)}
            values.append(np.mean([exact_auc(*columns[task]) for task in self._monitored]))
            of_tasks = [auc_influence(*columns[task]) for task in self._monitored]
            influences.append(np.mean(of_tasks, axis=0))
        gain = float(values[0] - values[1])
        margin = float(_NORMAL_975 * np.sqrt(np.sum((influences[0] - influences[1]) ** 2)))
        return TransferGain(
            self.monitor, float(values[0]), float(values[1]), gain, gain - margin, gain + margin
        )

    def _scores(
        self, stage: Stage, scorers: Mapping[str, Backbone], split: str
    ) -> ImpressionScores:
        size = self._batch_size
        first, last = self._distribution.rows(size)
        examples = stage.evaluation.num_examples(self._data, split)
        steps = -(-examples // size)
        batches = self._batches(stage, split)
        score = [self._compile(network, batches.element_spec) for network in scorers.values()]
        # Float64, which processes can add up.
        columns = np.zeros((1 + len(scorers), steps, size, len(TASKS)))
        for step, batch in enumerate(batches):
            columns[0, step, first:last] = np.stack([batch[task] for task in TASKS], 1)
            for place, probabilities in enumerate(score, 1):
                columns[place, step, first:last] = probabilities(
                    batch["categorical"], batch["numerical"]
                )
        whole = self._distribution.add_up(columns).astype(np.float32)
        labels, *probabilities = whole.reshape((len(columns), steps * size, -1))[:, :examples]
        for scorer, scored in zip(scorers, probabilities, strict=True):
            if not np.isfinite(scored).all():
                row = int(np.flatnonzero(~np.isfinite(scored).all(axis=1))[0])
                raise RunError(
                    f"stage {stage.name}: the {scorer} gives row {row + 1} of split {split} no "
                    "finite probability; scale down numerical columns with great values, or lower "
                    "the learning rate."
                )
        return ImpressionScores(labels, dict(zip(scorers, probabilities, strict=True)))

    @property
    def _monitored(self) -> list[str]:
        return [task for task in TASKS if self.monitor in ("AUC", f"{task}_AUC")]

    def _compile(
        self, network: Backbone, spec: Mapping[str, tf.TensorSpec]
    ) -> Callable[..., tf.Tensor]:
        if id(network) not in self._compiled:
            function = tf.function(lambda *columns: tf.sigmoid(network(*columns).logits))
            # Traced on purpose for each network; a plain call would warn of many traces.
            function = function.get_concrete_function(spec["categorical"], spec["numerical"])
            self._compiled[id(network)] = network, function
        return self._compiled[id(network)][1]

    def _batches(self, stage: Stage, split: str) -> tf.data.Dataset:
        size = self._batch_size
        rows = self._distribution.rows(size)
        return stage.evaluation.batches(self._data, split, size, seed=0, rows=rows)


def _by_task(scores: ImpressionScores, scorer: str) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Returns (task, labels [rows], probabilities [rows]) for each task."""
    if scorer == CONSTANT:
        probabilities = np.broadcast_to(scores.labels.mean(axis=0), scores.labels.shape)
    else:
        probabilities = scores.probabilities[scorer]
    return list(zip(TASKS, scores.labels.T, probabilities.T, strict=True))
