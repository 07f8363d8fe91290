"""PeterRec's stages and how one starts from the other."""

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
            catalogue=config.history_space,
            has_candidates=False,
            # What reads a target's items serves that target alone.
            shared=config.history_domains == "source",
        )
        view, frame = _finetuning_view(config)
        finetune = RankingStage(
            name="finetune",
            training=ViewRequest(
                view,
                {
                    **frame,
                    "negatives": item_loss.row_negatives(config),
                    "sampler": config.negative_sampler,
                    "lambdafm_rho": config.lambdafm_rho,
                    "negatives_exclude": config.negatives_exclude,
                },
            ),
            evaluation=ViewRequest(view, frame),
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
        read = data.vocabulary(config.history_space)
        try:
            if stage == "pretrain":
                return PretrainingModel(config, data.max_length, read.rows, read.counts, seed=seed)
            targets = data.vocabulary("target")
            return FinetuningModel(
                config, data.max_length, read.rows, targets.size, targets.counts, seed
            )
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
        return config.history_space

    def warm_start(self, model: FinetuningModel, previous: PretrainingModel) -> None:
        """Copies the trunk; adapters keep their fresh start.

        So does the target table, unless `target_start` says that the vectors by which pre-training
        predicted the target's items, the first of space `joint`, are its start.
        """
        pairs = zip(model.trunk.pretrained_layers, previous.trunk.pretrained_layers, strict=True)
        for layer, pretrained in pairs:
            layer.set_weights(pretrained.get_weights())
        if model.target_embedding is not None and model.config.target_start == "pretrained":
            model.target_embedding.assign(previous.output_vectors[: model.num_items + 1])

    def named_rows(
        self, config: PeterRecConfig, model: PretrainingModel | FinetuningModel, data: DataSource
    ) -> Sequence[NamedRows]:
        """The items that are read, and those that are predicted."""
        read = data.vocabulary(config.history_space)
        names = [NO_ITEM, *whole_names(read), "CLS", "MASK"]
        rows = [NamedRows(model.trunk.item_embedding.embeddings, names)]
        if isinstance(model, PretrainingModel):
            rows += [NamedRows(each, names) for each in (model.output_vectors, model.output_bias)]
        elif model.target_embedding is not None:
            targets = [NO_ITEM, *whole_names(data.vocabulary("target"))]
            rows.append(NamedRows(model.target_embedding, targets))
        return rows

    def without_transfer(self, config: PeterRecConfig) -> PeterRecConfig:
        if config.stages == "pretrain":
            raise RunError(
                "--peterrec.stages=pretrain trains nothing on the target that a model without "
                "transfer could be compared with."
            )
        return dataclasses.replace(_from_scratch(config), history_domains="target", own_share=0.0)

    def ablations(self, config: PeterRecConfig) -> dict[str, PeterRecConfig]:
        """What pre-training adds: the same network from scratch, which reads the same histories."""
        both = config.is_pretrained and config.stages == "all"
        return {"pre-training": _from_scratch(config)} if both else {}


def _from_scratch(config: PeterRecConfig) -> PeterRecConfig:
    return dataclasses.replace(config, adaptation="from_scratch", target_start="independent")


def _finetuning_view(config: PeterRecConfig) -> tuple[str, dict[str, Any]]:
    if config.history_domains == "target":
        return "leave_one_out", {"history_domains": "target"}
    if config.history_domains == "all":
        kept = {"own_share": config.own_share} if config.own_share else {}
        return "leave_one_out", {"history_domains": "all", **kept}
    return "transfer", {"cls": "last" if config.causal else "both"}


def _pretraining_view(config: PeterRecConfig) -> ViewRequest:
    joint = "joint_" if config.history_domains == "all" else ""
    if config.causal:
        return ViewRequest(f"{joint}next_item", {})
    return ViewRequest(
        f"{joint}masked_item", {"mask_share": config.mask_share, "max_masked": config.max_masked}
    )
