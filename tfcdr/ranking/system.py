"""What the systems share whose models rank items for a user's history."""

import abc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfcdr.data_source import HistorySource
from tfcdr.distribution.one_device import Distribution
from tfcdr.ranking.evaluator import RankingEvaluator
from tfcdr.ranking.export import ServedTarget, export_models
from tfcdr.ranking.held_out_ranks import EvaluationOptions
from tfcdr.ranking.history_names import names_in, place_in_run, run_space
from tfcdr.ranking.model import RankingModel
from tfcdr.ranking.signatures import RECOMMEND
from tfcdr.ranking.stage import RankingStage
from tfcdr.row_groups import COLD_AND_WARM, RowGroups
from tfcdr.serving.saved_model import SERVING_DEFAULT
from tfcdr.system import Serving, System


class RankingSystem(System[HistorySource]):
    """A system whose stages' models are `RankingModel`s."""

    log = "interactions"
    evaluation_group = "evaluation"
    evaluation_options = EvaluationOptions
    signatures = (SERVING_DEFAULT, RECOMMEND)

    @abc.abstractmethod
    def stages(self, config: Any) -> tuple[RankingStage, ...]:
        """See `System.stages`."""

    @abc.abstractmethod
    def history_space(self, config: Any) -> str:
        """Names the item space whose ids the last stage reads in users' histories."""

    def history_length(self, config: Any, data: HistorySource) -> int:
        """Returns how many items of a history the exported model reads, the latest."""
        del config
        return data.max_length

    def evaluator(
        self, data: HistorySource, options: EvaluationOptions, distribution: Distribution
    ) -> RankingEvaluator:
        return RankingEvaluator(data, options, distribution, self.row_groups(data))

    def row_groups(self, data: HistorySource) -> Sequence[RowGroups]:
        """Returns the groups of held-out interactions that are reported besides all of them."""
        del data  # which names groups such as domains
        return (COLD_AND_WARM,)

    def export(
        self,
        config: Any,
        model: RankingModel,
        data: HistorySource,
        export_dir: Path,
        serving: Serving,
    ) -> Path:
        """Exports the signatures of `signatures.py`."""
        return export_models(self.served(config, model, data), export_dir, serving)

    def export_targets(
        self,
        config: Any,
        models: Mapping[str, tuple[RankingModel, HistorySource]],
        export_dir: Path,
        serving: Serving,
    ) -> Path:
        """Exports the models of several targets as one; requests name the target as `domain`."""
        served = [target for pair in models.values() for target in self.served(config, *pair)]
        return export_models(served, export_dir, serving)

    def served(
        self, config: Any, model: RankingModel, data: HistorySource
    ) -> Sequence[ServedTarget]:
        """Returns what answers requests: a catalogue of items for each target."""
        space = self.stages(config)[-1].catalogue
        catalogue = data.vocabulary(space)
        domains = list(catalogue.domain_sizes)
        reads = place_in_run(data, self.history_space(config), space)
        served = ServedTarget(
            domain=domains[0] if len(domains) == 1 else "",
            model=model,
            histories=names_in(run_space(data, space), reads),
            items=catalogue.tokens,
            counts=catalogue.counts,
            max_length=self.history_length(config, data),
            reads=reads,
            ranks=range(1, catalogue.size + 1),
        )
        return [served]
