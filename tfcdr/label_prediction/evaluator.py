"""Scores every held-out row and tells, task by task, how good the probabilities are."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import tensorflow as tf

from tfcdr import row_groups
from tfcdr.data_source import DataSource
from tfcdr.distribution.one_device import Distribution
from tfcdr.errors import RunError
from tfcdr.evaluator import Evaluator
from tfcdr.label_prediction.logistic_regression import LOGISTIC_REGRESSION, LogisticRegression
from tfcdr.label_prediction.metrics import auc_influence, chunked, exact_auc, log_loss
from tfcdr.label_prediction.model import MODEL, LabelModel, Scorer
from tfcdr.repeated_reading import HeldOutReadings, RepeatedReading
from tfcdr.row_groups import RowGroups
from tfcdr.stage import Stage
from tfcdr.transfer_gain import TransferGain

CONSTANT = "constant"
_NORMAL_975 = 1.959964


@dataclasses.dataclass(frozen=True)
class LabelEvaluationOptions:
    """How probabilities of labels are scored and which figure decides.

    Attributes:
      monitor: the validation figure that selects the best epoch: "AUC", the mean over the system's
        tasks, or one task's, such as "click_AUC" and "conversion_AUC" of DAA.
      batch_size: rows scored at once.
      chunk_rows: if positive, the tables also hold AUC and log loss as DAA's release reports them,
        as an unweighted mean over chunks of so many rows (the release's: 2097152).
    """

    monitor: str = "AUC"
    batch_size: int = 8192
    chunk_rows: int = 0

    def __post_init__(self) -> None:
        """Refuses values out of range; which monitors there are, the system knows.

        Raises:
          ValueError: naming the field.
        """
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be positive. Received: {self.batch_size}.")
        if self.chunk_rows < 0:
            raise ValueError(f"chunk_rows must be at least 0. Received: {self.chunk_rows}.")

    def check_comparable(self) -> None:
        """Every monitor can say whether a transfer helped."""


def monitors(tasks: Sequence[str]) -> tuple[str, ...]:
    """Returns the figures that can select the best epoch of a system with these tasks."""
    return ("AUC", *(f"{task}_AUC" for task in tasks))


class LabelScores(NamedTuple):
    """Labels and probabilities of a split, in the order of its rows.

    Attributes:
      labels: float32 [rows, tasks], 0 or 1.
      probabilities: float32 [rows, tasks] by scorer.
      groups: int64 [rows] by column, what tells groups of rows apart.
    """

    labels: np.ndarray
    probabilities: dict[str, np.ndarray]
    groups: dict[str, np.ndarray]


class LabelEvaluator(Evaluator[Stage]):
    """Exact AUC and log loss over all rows at once; processes share the scoring.

    The model stands beside the scorers that it names, beside the best constant and, where the
    system has ids to fit it on, beside a logistic regression.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        data: DataSource,
        options: LabelEvaluationOptions,
        distribution: Distribution,
        groups: Sequence[RowGroups] = (),
        bar: LogisticRegression | None = None,
    ) -> None:
        """Creates the evaluator.

        Args:
          tasks: what the models predict, which are entries of the evaluation batches.
          data: a prepared data set.
          options: what is reported.
          distribution: the devices and processes that share each batch.
          groups: of rows, reported besides all of them.
          bar: what the model stands beside, fitted before the first tables.
        """
        self.monitor = options.monitor
        self._tasks = tuple(tasks)
        self._data = data
        self._options = options
        self._distribution = distribution
        self._groups = groups
        self._bar = bar
        self._batch_size = distribution.shared_batch_size(options.batch_size)
        # By the model's identity and the scorer; each keeps its model, so that an identity is not
        # used again.
        self._compiled: dict[tuple[int, str], tuple[LabelModel, Scorer]] = {}
        self._read = HeldOutReadings.of(data, self._batch_size, seed=0)
        # The stage that trains and what it reads; the one before is not read again.
        self._validation: tuple[Stage, RepeatedReading] | None = None

    def check_data(self, stage: Stage, split: str) -> None:
        """Opens a split; reads the labels of validation, which chooses the epoch.

        Raises:
          RunError: a class that the monitored figure needs does not occur.
        """
        batches = self._reading(stage, split)
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
                "larger validation_share, or choose another --label_evaluation.monitor."
            )

    def validation(self, stage: Stage, model: LabelModel) -> dict[str, float]:
        if self._validation is None or self._validation[0] is not stage:
            self._validation = stage, self._reading(stage, "validation")
        batches = self._validation[1]
        return self.headline(self._scores(stage, model, [MODEL], "validation", batches))

    def scores(self, stage: Stage, model: LabelModel, split: str) -> LabelScores:
        batches = self._reading(stage, split)
        found = self._scores(stage, model, list(model.scorers()), split, batches)
        if self._bar is None:
            return found
        of_bar = self._scores_of_bar(self._bar, stage, split)
        by_scorer = {**found.probabilities, LOGISTIC_REGRESSION: of_bar}
        return found._replace(probabilities=by_scorer)

    def headline(self, scores: LabelScores) -> dict[str, float]:
        """Returns the model's figures: "AUC", and for each task "click_AUC", "click_log_loss"."""
        figures = {}
        for task, labels, probabilities in self._by_task(scores, MODEL):
            figures[f"{task}_AUC"] = exact_auc(labels, probabilities)
            figures[f"{task}_log_loss"] = log_loss(labels, probabilities)
        mean = float(np.mean([figures[f"{task}_AUC"] for task in self._tasks]))
        return {"AUC": mean, **figures}

    def table(self, scores: LabelScores) -> list[dict[str, Any]]:
        """Returns a row for each task, group and scorer; NaN is what has no value there."""
        chosen = row_groups.members(self._groups, scores.groups, len(scores.labels))
        scorers = (*scores.probabilities, CONSTANT)
        columns = {scorer: self._by_task(scores, scorer) for scorer in scorers}
        rows = []
        for number, task in enumerate(self._tasks):
            for group, of_group in chosen.items():
                for scorer in scorers:
                    _, labels, probabilities = columns[scorer][number]
                    figures = self._figures(labels[of_group], probabilities[of_group])
                    rows.append({"task": task, "group": group, "scorer": scorer, **figures})
        return rows

    def format_table(self, rows: Sequence[dict[str, Any]]) -> str:
        table = pd.DataFrame(rows)
        return table.to_string(index=False, float_format=lambda value: f"{value:.4f}", na_rep="-")

    def transfer_gains(
        self, transfer: LabelScores, no_transfer: LabelScores, seed: int
    ) -> dict[str, TransferGain]:
        """Compares two models on the same rows; the interval is DeLong's, nothing is drawn.

        Raises:
          ValueError: the rows differ.
        """
        del seed
        if not np.array_equal(transfer.labels, no_transfer.labels):
            raise ValueError("The two models scored different rows.")
        chosen = row_groups.members(self._groups, transfer.groups, len(transfer.labels))
        return {
            group: self._gain(transfer, no_transfer, of_group) for group, of_group in chosen.items()
        }

    def _gain(
        self, transfer: LabelScores, no_transfer: LabelScores, chosen: np.ndarray
    ) -> TransferGain:
        rows = int(chosen.sum())
        values, influences = [], []
        for scores in (transfer, no_transfer):
            columns = [
                (labels[chosen], probabilities[chosen])
                for task, labels, probabilities in self._by_task(scores, MODEL)
                if task in self._monitored
            ]
            values.append(float(np.mean([exact_auc(*pair) for pair in columns])))
            influences.append(np.mean([auc_influence(*pair) for pair in columns], axis=0))
        if not np.isfinite(values).all():
            return TransferGain.unknown(self.monitor, rows)
        gain = values[0] - values[1]
        margin = float(_NORMAL_975 * np.sqrt(np.sum((influences[0] - influences[1]) ** 2)))
        low, high = gain - margin, gain + margin
        return TransferGain(self.monitor, values[0], values[1], gain, low, high, rows)

    def _figures(self, labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
        figures = {
            "rows": len(labels),
            "positives": int(labels.sum()),
            "AUC": exact_auc(labels, probabilities),
            "log loss": log_loss(labels, probabilities),
        }
        if self._options.chunk_rows:
            chunks = chunked(labels, probabilities, self._options.chunk_rows)
            for name, of_chunks in (("AUC", chunks["auc"]), ("log loss", chunks["log_loss"])):
                figures[f"chunked {name}"] = float(of_chunks.mean()) if len(labels) else np.nan
        return figures

    def _scores(
        self,
        stage: Stage,
        model: LabelModel,
        scorers: Sequence[str],
        split: str,
        batches: RepeatedReading,
    ) -> LabelScores:
        size = self._batch_size
        first, last = self._distribution.rows(size)
        examples = stage.evaluation.num_examples(self._data, split)
        steps = -(-examples // size)
        names = [column for column, _ in self._groups if column in batches.element_spec]
        score = [self._compile(model, scorer, batches.element_spec) for scorer in scorers]
        # Float64, which processes can add up.
        tasks = len(self._tasks)
        columns = np.zeros((1 + len(score), steps, size, tasks))
        of_groups = np.zeros((len(names), steps, size))
        for step, batch in enumerate(batches):
            columns[0, step, first:last] = np.stack([batch[task] for task in self._tasks], 1)
            for place, of_scorer in enumerate(score, 1):
                columns[place, step, first:last] = of_scorer(batch)
            for place, name in enumerate(names):
                of_groups[place, step, first:last] = batch[name]
        whole = self._distribution.add_up(columns).astype(np.float32)
        labels, *probabilities = whole.reshape((len(columns), steps * size, tasks))[:, :examples]
        if names:
            of_groups = self._distribution.add_up(of_groups)
        groups = of_groups.astype(np.int64).reshape((len(names), steps * size))[:, :examples]
        by_scorer = dict(zip(scorers, probabilities, strict=True))
        _refuse_non_finite(by_scorer, stage, split)
        return LabelScores(labels, by_scorer, dict(zip(names, groups, strict=True)))

    def _scores_of_bar(self, bar: LogisticRegression, stage: Stage, split: str) -> np.ndarray:
        """Returns float32 [rows, 1], by the bar, which is the same in every process."""

        def batches(of_split: str) -> tf.data.Dataset:
            size = self._batch_size
            return stage.evaluation.batches(self._data, of_split, size, seed=0, shuffled=False)

        if not bar.is_fitted:
            bar.fit(lambda: batches("train"), lambda: batches("validation"))
        scored = [bar.probabilities(batch) for batch in batches(split)]
        return np.concatenate(scored)[: stage.evaluation.num_examples(self._data, split)]

    @property
    def _monitored(self) -> list[str]:
        return [task for task in self._tasks if self.monitor in ("AUC", f"{task}_AUC")]

    def _by_task(
        self, scores: LabelScores, scorer: str
    ) -> list[tuple[str, np.ndarray, np.ndarray]]:
        """Returns (task, labels [rows], probabilities [rows]) for each task."""
        if scorer == CONSTANT:
            probabilities = np.broadcast_to(scores.labels.mean(axis=0), scores.labels.shape)
        else:
            probabilities = scores.probabilities[scorer]
        return list(zip(self._tasks, scores.labels.T, probabilities.T, strict=True))

    def _compile(
        self, model: LabelModel, scorer: str, spec: Mapping[str, tf.TensorSpec]
    ) -> Callable[..., tf.Tensor]:
        key = id(model), scorer
        if key not in self._compiled:
            # Traced on purpose for each model; a plain call would warn of many traces.
            function = tf.function(model.scorers()[scorer], autograph=False)
            self._compiled[key] = model, function.get_concrete_function(spec)
        return self._compiled[key][1]

    def _reading(self, stage: Stage, split: str) -> RepeatedReading:
        return self._read(stage.evaluation, split, self._distribution.rows(self._batch_size))


def _refuse_non_finite(probabilities: Mapping[str, np.ndarray], stage: Stage, split: str) -> None:
    """Raises RunError if a scorer gives a row no probability; names the first such row."""
    for scorer, scored in probabilities.items():
        if not np.isfinite(scored).all():
            row = int(np.flatnonzero(~np.isfinite(scored).all(axis=1))[0])
            raise RunError(
                f"stage {stage.name}: the {scorer} gives row {row + 1} of split {split} no "
                "finite probability; scale down numerical columns with great values, or lower "
                "the learning rate."
            )
