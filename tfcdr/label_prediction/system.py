"""What the systems share whose models predict labels."""

from collections.abc import Sequence
from typing import ClassVar

from tfcdr.data_source import DataSource
from tfcdr.distribution.one_device import Distribution
from tfcdr.label_prediction.evaluator import LabelEvaluationOptions, LabelEvaluator, monitors
from tfcdr.label_prediction.logistic_regression import LogisticRegression
from tfcdr.row_groups import RowGroups
from tfcdr.system import System


class LabelPredictionSystem(System):
    """A system whose stages' models are `LabelModel`s.

    Attributes:
      tasks: what its models predict, by names that are also the entries of evaluation batches with
        the labels, float [batch].
    """

    tasks: ClassVar[tuple[str, ...]]
    evaluation_group = "label_evaluation"
    evaluation_options = LabelEvaluationOptions

    def check_evaluation(self, options: LabelEvaluationOptions) -> None:
        allowed = monitors(self.tasks)
        if options.monitor not in allowed:
            raise ValueError(
                f"monitor must be one of {', '.join(allowed)}. Received: {options.monitor!r}."
            )

    def evaluator(
        self, data: DataSource, options: LabelEvaluationOptions, distribution: Distribution
    ) -> LabelEvaluator:
        groups, bar = self.row_groups(data), self.bar(data)
        return LabelEvaluator(self.tasks, data, options, distribution, groups, bar)

    def bar(self, data: DataSource) -> LogisticRegression | None:
        """Returns what the models stand beside in tables besides the constant; nothing here."""
        del data  # which says how many ids there are
        return None

    def row_groups(self, data: DataSource) -> Sequence[RowGroups]:
        """Returns the groups of held-out rows that are reported besides all of them; none here."""
        del data  # which names groups such as domains
        return ()
