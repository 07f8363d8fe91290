"""What the systems share whose models predict labels."""

import weakref
from collections.abc import MutableMapping, Sequence
from typing import ClassVar

from tfcdr.data_source import SourceT
from tfcdr.distribution.one_device import Distribution
from tfcdr.errors import RunError
from tfcdr.label_prediction.evaluator import LabelEvaluationOptions, LabelEvaluator, monitors
from tfcdr.label_prediction.logistic_regression import LogisticRegression
from tfcdr.row_groups import RowGroups
from tfcdr.system import System


class LabelPredictionSystem(System[SourceT]):
    """A system whose stages' models are `LabelModel`s.

    Attributes:
      tasks: what its models predict, by names that are also the entries of evaluation batches with
        the labels, float [batch].
    """

    tasks: ClassVar[tuple[str, ...]]
    evaluation_group = "label_evaluation"
    evaluation_options = LabelEvaluationOptions

    def __init__(self) -> None:
        super().__init__()
        # A run and the one without transfer stand beside the same: it is fitted once.
        self._bars: MutableMapping[SourceT, LogisticRegression | None] = weakref.WeakKeyDictionary()

    def check_evaluation(self, options: LabelEvaluationOptions) -> None:
        allowed = monitors(self.tasks)
        if options.monitor not in allowed:
            raise ValueError(
                f"monitor must be one of {', '.join(allowed)}. Received: {options.monitor!r}."
            )

    def evaluator(
        self, data: SourceT, options: LabelEvaluationOptions, distribution: Distribution
    ) -> LabelEvaluator:
        if data not in self._bars:
            self._bars[data] = self.bar(data)
        groups, bar = self.row_groups(data), self._bars[data]
        tasks = self.tasks_of(data)
        if options.monitor not in monitors(tasks):
            raise RunError(
                f"--{self.evaluation_group}.monitor={options.monitor}: the data set has no labels "
                f"of it, only of {', '.join(tasks)}."
            )
        return LabelEvaluator(tasks, data, options, distribution, groups, bar)

    def tasks_of(self, data: SourceT) -> tuple[str, ...]:
        """Returns those of `tasks` that a data set has labels of; all here."""
        del data
        return self.tasks

    def bar(self, data: SourceT) -> LogisticRegression | None:
        """Returns what the models stand beside in tables besides the constant; nothing here."""
        del data  # which says how many ids there are
        return None

    def row_groups(self, data: SourceT) -> Sequence[RowGroups]:
        """Returns the groups of held-out rows that are reported besides all of them; none here."""
        del data  # which names groups such as domains
        return ()
