"""Item neighbours as a system: one stage, each epoch of which tries one choice of settings."""

import dataclasses

import tensorflow as tf

from tfcdr.data_source import HistorySource, ViewRequest
from tfcdr.distribution.one_device import Distribution
from tfcdr.errors import RunError
from tfcdr.ranking.neighbours.ease import check_size
from tfcdr.ranking.neighbours.model import HISTORY, NeighbourModel, NeighbourOptions, choices
from tfcdr.ranking.stage import RankingStage
from tfcdr.ranking.system import RankingSystem
from tfcdr.systems.neighbours.config import NeighboursConfig


class Neighbours(RankingSystem):
    """What the items of a history say of others by who took both."""

    name = "neighbours"
    config_class = NeighboursConfig

    def weighs_events(self, config: NeighboursConfig) -> bool:
        del config
        return True

    def stages(self, config: NeighboursConfig) -> tuple[RankingStage, ...]:
        tries = len(choices(config.kind, config.history_domains == "all"))
        histories = {"history_domains": config.history_domains, "recent": HISTORY}
        return (
            RankingStage(
                name="fit",
                training=None,
                evaluation=ViewRequest("leave_one_out", histories),
                batch_size=1,
                epochs=tries,
                patience=tries,
                catalogue="target",
                has_candidates=True,
            ),
        )

    def build(
        self, stage: str, config: NeighboursConfig, data: HistorySource, seed: int
    ) -> NeighbourModel:
        del stage, seed  # One stage, and nothing is drawn.
        space = self.history_space(config)
        items, counts = data.vocabulary(space).size, data.vocabulary("target").counts
        options = NeighbourOptions(config.kind, config.neighbours, config.most_items)
        return NeighbourModel(options, space, items, counts, config.history_domains == "all")

    def optimizers(
        self, stage: str, config: NeighboursConfig
    ) -> dict[str, tf.keras.optimizers.Optimizer]:
        del stage, config
        return {}

    def history_space(self, config: NeighboursConfig) -> str:
        return "joint" if config.history_domains == "all" else "target"

    def history_length(self, config: NeighboursConfig, data: HistorySource) -> int:
        del config, data
        return HISTORY

    def without_transfer(self, config: NeighboursConfig) -> NeighboursConfig:
        """Reads nothing but the target, in what it counts and in histories."""
        return dataclasses.replace(config, history_domains="target")

    def gains_from_xla(self) -> bool:
        return False

    def check(
        self, config: NeighboursConfig, data: HistorySource, distribution: Distribution
    ) -> None:
        """Refuses data from which nothing can be counted.

        Raises:
          RunError: no item that is ranked trains, or EASE's matrix is too large.
        """
        del distribution
        if not data.vocabulary("target").counts.any():
            raise RunError(
                "no interaction of the target trains, so that no item of it has a neighbour; check "
                "how the conversion splits the data (--split.*, --examples.cold_share)."
            )
        if config.kind == "ease":
            items = data.vocabulary(self.history_space(config)).size
            check_size(data.num_users, items, "--neighbours.kind")
