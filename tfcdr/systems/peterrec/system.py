"""PeterRec's stages and how one starts from the other."""

import dataclasses

import tensorflow as tf

from tfcdr import optimizers
from tfcdr.data_source import DataSource, ViewRequest
from tfcdr.errors import RunError
from tfcdr.ranking.stage import RankingStage
from tfcdr.ranking.system import RankingSystem
from tfcdr.stage_model import MODEL_OPTIMIZER, StageModel
from tfcdr.systems.peterrec.benchmark import PeterRecBenchmark
from tfcdr.systems.peterrec.config import PeterRecConfig
from tfcdr.systems.peterrec.model import FinetuningModel, PretrainingModel


class PeterRec(RankingSystem):
    """Pre-training on source sequences, then parameter-efficient adaptation to the target."""

    name = "peterrec"
    config_class = PeterRecConfig
    benchmark = PeterRecBenchmark()

    def stages(self, config: PeterRecConfig) -> tuple[RankingStage, ...]:
        pretrain = RankingStage(
            name="pretrain",
            training=_pretraining_view(config),
            evaluation=_pretraining_view(config),
            batch_size=config.pretrain_batch_size,
            epochs=config.pretrain_epochs,
            patience=config.patience,
            catalogue="source",
            has_candidates=False,
            shared=True,
        )
        frame = {"cls": "last" if config.causal else "both"}
        finetune = RankingStage(
            name="finetune",
            training=ViewRequest(
                "transfer",
                {
                    **frame,
                    "negatives": config.negatives,
                    "sampler": config.negative_sampler,
                    "lambdafm_rho": config.lambdafm_rho,
                    "negatives_exclude": config.negatives_exclude,
                },
            ),
            evaluation=ViewRequest("transfer", frame),
            batch_size=config.finetune_batch_size,
            epochs=config.finetune_epochs,
            patience=config.patience,
            catalogue="target",
            has_candidates=True,
        )
        if config.stages == "pretrain":
            return (pretrain,)
        return (pretrain, finetune) if config.is_pretrained else (finetune,)

    def build(self, stage: str, config: PeterRecConfig, data: DataSource, seed: int) -> StageModel:
        source = data.vocabulary("source")
        try:
            if stage == "pretrain":
                return PretrainingModel(
                    config, data.max_length, source.rows, source.counts, seed=seed
                )
            targets = data.vocabulary("target").size
            return FinetuningModel(config, data.max_length, source.rows, targets)
        except ValueError as error:
            raise RunError(f"--peterrec.*: {error}") from error

    def optimizers(
        self, stage: str, config: PeterRecConfig
    ) -> dict[str, tf.keras.optimizers.Optimizer]:
        rates = {
            "pretrain": config.pretrain_learning_rate,
            "finetune": config.finetune_learning_rate,
        }
        return {MODEL_OPTIMIZER: optimizers.adam(rates[stage], config.table_update)}

    def history_space(self, config: PeterRecConfig) -> str:
        return "source"

    def warm_start(self, model: FinetuningModel, previous: PretrainingModel) -> None:
        """Copies the trunk; adapters and the target table keep their fresh start."""
        pairs = zip(model.trunk.pretrained_layers, previous.trunk.pretrained_layers, strict=True)
        for layer, pretrained in pairs:
            layer.set_weights(pretrained.get_weights())

    def without_transfer(self, config: PeterRecConfig) -> PeterRecConfig:
        if config.stages == "pretrain":
            raise RunError(
                "--peterrec.stages=pretrain trains nothing on the target that a model without "
                "transfer could be compared with."
            )
        return dataclasses.replace(config, adaptation="from_scratch")


def _pretraining_view(config: PeterRecConfig) -> ViewRequest:
    if config.causal:
        return ViewRequest("next_item", {})
    return ViewRequest(
        "masked_item", {"mask_share": config.mask_share, "max_masked": config.max_masked}
    )
