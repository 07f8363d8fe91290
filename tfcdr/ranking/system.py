"""What the systems share whose models rank items for a user's history."""

import abc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfcdr.data_source import DataSource
from tfcdr.distribution.one_device import Distribution
from tfcdr.ranking.evaluator import RankingEvaluator
from tfcdr.ranking.export import export_model
from tfcdr.ranking.held_out_ranks import EvaluationOptions
from tfcdr.ranking.model import RankingModel
from tfcdr.ranking.signatures import RECOMMEND
from tfcdr.ranking.stage import RankingStage
from tfcdr.row_groups import COLD_AND_WARM, RowGroups
from tfcdr.serving.saved_model import SERVING_DEFAULT
from tfcdr.system import Serving, System


class RankingSystem(System):
    """A system whose stages' models are `RankingModel`s."""

    evaluation_group = "evaluation"
    evaluation_options = EvaluationOptions
    signatures = (SERVING_DEFAULT, RECOMMEND)

    @abc.abstractmethod
    def stages(self, config: Any) -> tuple[RankingStage, ...]:
        """See `System.stages`."""

    @abc.abstractmethod
    def history_space(self, config: Any) -> str:
        """Names the item space whose ids the last stage reads in users' histories."""

    def evaluator(
        self, data: DataSource, options: EvaluationOptions, distribution: Distribution
    ) -> RankingEvaluator:
        return RankingEvaluator(data, options, distribution, self.row_groups(data))

    def row_groups(self, data: DataSource) -> Sequence[RowGroups]:
        """Returns the groups of held-out interactions that are reported besides all of them."""
        del data  # which names groups such as domains
        return (COLD_AND_WARM,)

    def export(
        self,
        config: Any,
        model: RankingModel,
        data: DataSource,
        export_dir: Path,
        serving: Serving,
    ) -> Path:
        """Exports the signatures of `serving.signatures`."""
        item_space = self.stages(config)[-1].catalogue
        return export_model(
            model,
            export_dir,
            history_vocabulary=data.vocabulary_path(self.history_space(config)),
            target_vocabulary=data.vocabulary_path(item_space),
            max_length=data.max_length,
            top_k=serving.top_k,
            retrieval=serving.retrieval,
        )
