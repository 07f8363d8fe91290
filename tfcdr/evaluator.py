"""Tells how good the models of a system are on held-out examples of one data set."""

import abc
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from tfcdr.bar_gain import BarGain
from tfcdr.report_section import Names, ShownUser
from tfcdr.stage import Stage
from tfcdr.stage_model import StageModel
from tfcdr.transfer_gain import TransferGain

StageT = TypeVar("StageT", bound=Stage)


class Evaluator(abc.ABC, Generic[StageT]):
    """Scores held-out examples; what its scores are, is its own business.

    Attributes:
      monitor: the figure that selects the best epoch; the greater, the better.
    """

    monitor: str

    @abc.abstractmethod
    def check_data(self, stage: StageT, split: str) -> None:
        """Opens a split, so that what the data lacks is known before any work."""

    @abc.abstractmethod
    def validation(self, stage: StageT, model: StageModel) -> dict[str, float]:
        """Returns the figures of an epoch, `monitor` among them."""

    @abc.abstractmethod
    def scores(self, stage: StageT, model: StageModel, split: str) -> Any:
        """Scores every example of a split by the model and by what it is compared with."""

    @abc.abstractmethod
    def headline(self, scores: Any) -> dict[str, float]:
        """Returns the model's figures over all examples."""

    @abc.abstractmethod
    def table(self, scores: Any) -> list[dict[str, Any]]:
        """Returns rows with equal keys: figures of every scorer, for every group of rows.

        A group without a row has a row in the table all the same, which says n = 0.
        """

    @abc.abstractmethod
    def format_table(self, rows: Sequence[dict[str, Any]]) -> str:
        """Returns rows of `table` as text for a terminal."""

    def bar_gains(self, scores: Any, seed: int) -> dict[str, dict[str, BarGain]]:
        """Compares the model with what stands beside it, by `monitor` where that can be compared.

        Args:
          scores: of the test.
          seed: of what the comparison draws.

        Returns:
          The gain by bar and by group of rows, `row_groups.ALL` first; nothing by default.
        """
        del scores, seed
        return {}

    def beyond_accuracy(
        self, stage: StageT, model: StageModel, split: str
    ) -> dict[tuple[str, str], dict[str, float]]:
        """Returns figures of what is recommended, whether right or not, by group and scorer.

        They belong to the rows of `table` with protocol "full"; nothing by default.
        """
        del stage, model, split
        return {}

    def shown_users(
        self, stage: StageT, model: StageModel, names: Names, number: int
    ) -> Sequence[ShownUser]:
        """Draws test users for a person to look at; nothing by default.

        Args:
          stage: the model's.
          model: recommends.
          names: of items and users.
          number: of users.
        """
        del stage, model, names, number
        return ()

    @abc.abstractmethod
    def transfer_gains(self, transfer: Any, no_transfer: Any, seed: int) -> dict[str, TransferGain]:
        """Compares two models' scores of the same split by `monitor`.

        Returns:
          The gain by group of rows: `row_groups.ALL` first, then those that the tables have.
        """
