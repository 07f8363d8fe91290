"""TiMiRec's stages and how one starts from the other."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfcdr import optimizers
from tfcdr.data_source import DataSource, HistorySource, ViewRequest
from tfcdr.distribution.one_device import Distribution
from tfcdr.errors import RunError
from tfcdr.named_rows import NO_ITEM, NamedRows, whole_names
from tfcdr.ranking import item_loss
from tfcdr.ranking.ensemble import RankingEnsemble
from tfcdr.ranking.neighbours import blend
from tfcdr.ranking.neighbours.blend import NeighbourBlend
from tfcdr.ranking.neighbours.ease import check_size
from tfcdr.ranking.neighbours.model import NeighbourModel, NeighbourOptions
from tfcdr.ranking.stage import RankingStage
from tfcdr.ranking.system import RankingSystem
from tfcdr.report_section import Names, Section
from tfcdr.stage_model import MODEL_OPTIMIZER
from tfcdr.systems.timirec import report
from tfcdr.systems.timirec.benchmark import TiMiRecBenchmark
from tfcdr.systems.timirec.config import TiMiRecConfig
from tfcdr.systems.timirec.model import FinetuningModel, InterestModel, PretrainingModel


class TiMiRec(RankingSystem):
    """Extracting several interests from a history, then weighting them as the target would."""

    name = "timirec"
    config_class = TiMiRecConfig
    benchmark = TiMiRecBenchmark()

    def weighs_events(self, config: TiMiRecConfig) -> bool:
        """A blend's neighbours do."""
        return bool(config.blended_kinds)

    def stages(self, config: TiMiRecConfig) -> tuple[RankingStage, ...]:
        histories: dict[str, Any] = {"history_domains": config.history_domains}
        if config.own_share:
            histories["own_share"] = config.own_share
        evaluation = {**histories, "cold_history": config.cold_history}
        training = {
            **histories,
            "negatives": item_loss.row_negatives(config),
            "sampler": config.negative_sampler,
            "lambdafm_rho": config.lambdafm_rho,
            "negatives_exclude": config.negatives_exclude,
        }

        pretrain = RankingStage(
            name="pretrain",
            training=ViewRequest("leave_one_out", training),
            evaluation=ViewRequest("leave_one_out", evaluation),
            batch_size=config.pretrain_batch_size,
            epochs=config.pretrain_epochs,
            patience=config.patience,
            catalogue="target",
            has_candidates=True,
        )
        finetune = dataclasses.replace(
            pretrain,
            name="finetune",
            batch_size=config.finetune_batch_size,
            epochs=config.finetune_epochs,
        )
        wanted = {"pretrain": not config.from_scratch, "finetune": config.has_finetuning}
        stages = [stage for stage in (pretrain, finetune) if wanted[stage.name]]
        if config.blended_kinds:
            tries = blend.tries(config.blended_kinds, config.history_domains == "all")
            blended = dataclasses.replace(
                pretrain,
                name="blend",
                training=None,
                epochs=tries,
                patience=tries,
                takes=config.ensemble_members,
            )
            stages.append(blended)
        return tuple(stages)

    def build(
        self, stage: str, config: TiMiRecConfig, data: DataSource, seed: int
    ) -> InterestModel | NeighbourBlend:
        histories = data.vocabulary(self.history_space(config))
        targets = data.vocabulary("target")
        if stage == "blend":
            transfers = config.history_domains == "all"
            of_space = self.history_space(config), histories.size, targets.counts
            neighbours = [
                NeighbourModel(NeighbourOptions(kind), *of_space, transfers)
                for kind in config.blended_kinds
            ]
            before = self.stages(config)[-2].name
            members = [
                self.build(before, config, data, seed) for _ in range(config.ensemble_members)
            ]
            trained = RankingEnsemble(members) if len(members) > 1 else members[0]
            return NeighbourBlend(trained, neighbours, data.max_length)
        rows, has_trained = histories.size + 1, histories.counts > 0
        kind = PretrainingModel if stage == "pretrain" else FinetuningModel
        try:
            return kind(
                config, data.max_length, rows, targets.size, seed, targets.counts, has_trained
            )
        except ValueError as error:
            raise RunError(f"--timirec.*: {error}") from error

    def optimizers(
        self, stage: str, config: TiMiRecConfig
    ) -> dict[str, tf.keras.optimizers.Optimizer]:
        if stage == "blend":
            return {}
        rates = {
            "pretrain": config.pretrain_learning_rate,
            "finetune": config.finetune_learning_rate,
        }
        adam = optimizers.pytorch_adam(rates[stage], config.l2, _is_no_bias, config.table_update)
        return {MODEL_OPTIMIZER: adam}

    def history_space(self, config: TiMiRecConfig) -> str:
        return "joint" if config.history_domains == "all" else "target"

    def warm_start(self, model: InterestModel | NeighbourBlend, previous: InterestModel) -> None:
        """Copies the extractor; the predictor keeps its fresh start. A blend takes the whole."""
        if isinstance(model, NeighbourBlend):
            model.model.set_weights(previous.get_weights())
            return
        model.extractor.set_weights(previous.extractor.get_weights())

    def warm_start_of_seeds(self, model: NeighbourBlend, previous: Sequence[InterestModel]) -> None:
        """Takes the whole of each."""
        for member, trained in zip(model.model.members, previous, strict=True):
            member.set_weights(trained.get_weights())

    def check(self, config: TiMiRecConfig, data: HistorySource, distribution: Distribution) -> None:
        """Refuses a blend with EASE on data too large for it.

        Raises:
          RunError: see `ease.check_size`.
        """
        del distribution
        if "ease" in config.blended_kinds:
            items = data.vocabulary(self.history_space(config)).size
            check_size(data.num_users, items, "--timirec.blend_neighbours")

    def named_rows(
        self, config: TiMiRecConfig, model: InterestModel, data: DataSource
    ) -> Sequence[NamedRows]:
        """The extractor's items and, in fine-tuning, the predictor's."""
        names = [NO_ITEM, *whole_names(data.vocabulary(self.history_space(config)))]
        rows = [NamedRows(model.extractor.item_embedding.embeddings, names)]
        if isinstance(model, FinetuningModel):
            # The last row is the release's, which nothing reads.
            of_predictor = model.predictor.item_embedding.embeddings
            rows.append(NamedRows(of_predictor, [*names, "NOT READ"]))
        return rows

    def without_transfer(self, config: TiMiRecConfig) -> TiMiRecConfig:
        """Reads histories of the target domain alone.

        Raises:
          RunError: the mean of several models ranks, of which there is no like without transfer.
        """
        if config.ensemble_members > 1:
            raise RunError(
                f"--timirec.ensemble_members={config.ensemble_members}: one model of the target "
                "alone is no fair comparison with the mean of several; compare the run of the "
                "seeds, or use launchers/compare.py."
            )
        return dataclasses.replace(config, history_domains="target", own_share=0.0)

    def report_sections(
        self,
        config: TiMiRecConfig,
        model: InterestModel | NeighbourBlend,
        data: DataSource,
        names: Names,
    ) -> Sequence[Section]:
        """Shows the interests of some test users and how much each counts.

        Of several models whose mean ranks, those of the first.
        """
        stage = self.stages(config)[-1]
        trained = model.model if isinstance(model, NeighbourBlend) else model
        members = trained.members if isinstance(trained, RankingEnsemble) else [trained]
        drawn = report.sections(stage, members[0], data, self.history_space(config), names)
        if len(members) == 1:
            return drawn
        whose = f"Of the first of {len(members)} models whose mean ranks. "
        return [section._replace(reading=whose + section.reading) for section in drawn]


def _is_no_bias(variable: tf.Variable) -> bool:
    """Whether a variable decays: all do but biases, the layer norms' among them."""
    name = variable.name.split("/")[-1].split(":")[0]
    return not name.endswith(("bias", "beta"))
