"""SyNCRec's one stage, which trains a single model for all targets of a run."""

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from tfcdr import optimizers
from tfcdr.data_source import DataSource, ViewRequest
from tfcdr.errors import RunError
from tfcdr.named_rows import NO_ITEM, NamedRows, whole_names
from tfcdr.ranking import item_loss
from tfcdr.ranking.export import ServedTarget
from tfcdr.ranking.history_names import names_in
from tfcdr.ranking.stage import RankingStage
from tfcdr.ranking.system import RankingSystem
from tfcdr.report_section import Names, Section
from tfcdr.row_groups import ALL, COLD_AND_WARM, RowGroups
from tfcdr.stage_model import MODEL_OPTIMIZER
from tfcdr.systems.syncrec import report
from tfcdr.systems.syncrec.benchmark import SyncRecBenchmark
from tfcdr.systems.syncrec.config import SyncRecConfig
from tfcdr.systems.syncrec.domain_model import DomainCatalogue, DomainModel
from tfcdr.systems.syncrec.model import SyncRecModel
from tfcdr.systems.syncrec.single_domain import SingleDomainModel

_MODELS = {"joint": SyncRecModel, "single_domain": SingleDomainModel}


class SyncRec(RankingSystem):
    """Single- and cross-domain sequences trained together by shared experts."""

    name = "syncrec"
    config_class = SyncRecConfig
    joint_targets = True
    benchmark = SyncRecBenchmark()

    def stages(self, config: SyncRecConfig) -> tuple[RankingStage, ...]:
        joint = config.training == "joint"
        reading = {"sequences": "joint" if joint else "by_domain"}
        training = {
            **reading,
            "negatives": item_loss.row_negatives(config),
            "negative_domains": config.negative_domains,
        }
        evaluation = {**reading, "candidate_domains": config.candidate_domains}
        return (
            RankingStage(
                name="train",
                training=ViewRequest("multi_domain_sequence", training),
                evaluation=ViewRequest("multi_domain_sequence", evaluation),
                batch_size=config.batch_size,
                epochs=config.epochs,
                patience=config.patience,
                catalogue="joint",
                has_candidates=True,
            ),
        )

    def build(self, stage: str, config: SyncRecConfig, data: DataSource, seed: int) -> DomainModel:
        del stage
        sizes = data.vocabulary("joint").domain_sizes
        try:
            return _MODELS[config.training](
                config, list(sizes.values()), data.max_length, list(sizes), seed
            )
        except ValueError as error:
            raise RunError(f"--syncrec.*: {error}") from error

    def optimizers(
        self, stage: str, config: SyncRecConfig
    ) -> dict[str, tf.keras.optimizers.Optimizer]:
        del stage
        adam = optimizers.pytorch_adam(config.learning_rate, table_update=config.table_update)
        return {MODEL_OPTIMIZER: adam}

    def history_space(self, config: SyncRecConfig) -> str:
        del config
        return "joint"

    def named_rows(
        self, config: SyncRecConfig, model: DomainModel, data: DataSource
    ) -> Sequence[NamedRows]:
        """Items, and what the model has of each domain."""
        del config
        return [
            NamedRows(model.item_factors()[0], [NO_ITEM, *whole_names(data.vocabulary("joint"))]),
            *model.rows_of_domains(),
        ]

    def without_transfer(self, config: SyncRecConfig) -> SyncRecConfig:
        """Trains an encoder for each domain, which reads that domain alone."""
        return dataclasses.replace(config, training="single_domain")

    def row_groups(self, data: DataSource) -> Sequence[RowGroups]:
        """Groups held-out interactions by their domain, too."""
        others = {ALL, *COLD_AND_WARM.names}
        names = {
            f"domain {name}" if name in others else name: number
            for number, name in enumerate(data.vocabulary("target").domain_sizes, start=1)
        }
        return (COLD_AND_WARM, RowGroups("target_domain", names))

    def served(
        self, config: SyncRecConfig, model: DomainModel, data: DataSource
    ) -> Sequence[ServedTarget]:
        """Serves each target's items as a catalogue; requests name it as `domain`."""
        joint = data.vocabulary("joint")
        reads = range(1, joint.size + 1)
        names, whole = names_in(joint, reads), whole_names(joint)
        served, before = [], 0
        for number, (domain, size) in enumerate(data.vocabulary("target").domain_sizes.items(), 1):
            own = slice(before, before + size)
            ranks = range(before + 1, before + size + 1)
            before += size
            served.append(
                ServedTarget(
                    domain=domain,
                    model=DomainCatalogue(model, number),
                    histories=names,
                    items=[name.removeprefix(f"{domain}:") for name in whole[own]],
                    counts=joint.counts[own],
                    max_length=data.max_length,
                    reads=reads,
                    ranks=ranks,
                )
            )
        return served

    def report_sections(
        self, config: SyncRecConfig, model: DomainModel, data: DataSource, names: Names
    ) -> Sequence[Section]:
        """Shows how much each domain listens to each expert."""
        del names
        if not isinstance(model, SyncRecModel):
            return ()
        return report.sections(self.stages(config)[-1], model, data)
