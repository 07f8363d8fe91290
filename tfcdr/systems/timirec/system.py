"""TiMiRec's stages and how one starts from the other."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfcdr import optimizers
from tfcdr.data_source import DataSource, ViewRequest
from tfcdr.errors import RunError
from tfcdr.named_rows import NO_ITEM, NamedRows, whole_names
from tfcdr.ranking import item_loss
from tfcdr.ranking.stage import RankingStage
from tfcdr.ranking.system import RankingSystem
from tfcdr.report_section import Names, Section
from tfcdr.stage_model import MODEL_OPTIMIZER, StageModel
from tfcdr.systems.timirec import report
from tfcdr.systems.timirec.benchmark import TiMiRecBenchmark
from tfcdr.systems.timirec.config import TiMiRecConfig
from tfcdr.systems.timirec.model import FinetuningModel, InterestModel, PretrainingModel


class TiMiRec(RankingSystem):
    """Extracting several interests from a history, then weighting them as the target would."""

    name = "timirec"
    config_class = TiMiRecConfig
    benchmark = TiMiRecBenchmark()

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

        def stage(name: str, batch_size: int, epochs: int) -> RankingStage:
            return RankingStage(
                name=name,
                training=ViewRequest("leave_one_out", training),
                evaluation=ViewRequest("leave_one_out", evaluation),
                batch_size=batch_size,
                epochs=epochs,
                patience=config.patience,
                catalogue="target",
                has_candidates=True,
            )

        pretrain = stage("pretrain", config.pretrain_batch_size, config.pretrain_epochs)
        if not config.has_finetuning:
            return (pretrain,)
        finetune = stage("finetune", config.finetune_batch_size, config.finetune_epochs)
        return (finetune,) if config.from_scratch else (pretrain, finetune)

    def build(self, stage: str, config: TiMiRecConfig, data: DataSource, seed: int) -> StageModel:
        histories = data.vocabulary(self.history_space(config))
        rows, trained = histories.size + 1, histories.counts > 0
        targets = data.vocabulary("target")
        kind = PretrainingModel if stage == "pretrain" else FinetuningModel
        try:
            return kind(config, data.max_length, rows, targets.size, seed, targets.counts, trained)
        except ValueError as error:
            raise RunError(f"--timirec.*: {error}") from error

    def optimizers(
        self, stage: str, config: TiMiRecConfig
    ) -> dict[str, tf.keras.optimizers.Optimizer]:
        rates = {
            "pretrain": config.pretrain_learning_rate,
            "finetune": config.finetune_learning_rate,
        }
        adam = optimizers.pytorch_adam(rates[stage], config.l2, _is_no_bias, config.table_update)
        return {MODEL_OPTIMIZER: adam}

    def history_space(self, config: TiMiRecConfig) -> str:
        return "joint" if config.history_domains == "all" else "target"

    def warm_start(self, model: InterestModel, previous: InterestModel) -> None:
        """Copies the extractor; the predictor keeps its fresh start."""
        model.extractor.set_weights(previous.extractor.get_weights())

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
        """Reads histories of the target domain alone."""
        return dataclasses.replace(config, history_domains="target", own_share=0.0)

    def report_sections(
        self, config: TiMiRecConfig, model: InterestModel, data: DataSource, names: Names
    ) -> Sequence[Section]:
        """Shows the interests of some test users and how much each counts."""
        stage = self.stages(config)[-1]
        return report.sections(stage, model, data, self.history_space(config), names)


def _is_no_bias(variable: tf.Variable) -> bool:
    """Whether a variable decays: all do but biases, the layer norms' among them."""
    name = variable.name.split("/")[-1].split(":")[0]
    return not name.endswith(("bias", "beta"))
