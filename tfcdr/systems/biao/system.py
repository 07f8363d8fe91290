"""BIAO's one stage, its outer step's feeds, and what it asks of the data."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import tensorflow as tf

from tfcdr import optimizers
from tfcdr.data_source import ViewRequest
from tfcdr.distribution.one_device import Distribution
from tfcdr.errors import RunError
from tfcdr.label_prediction.logistic_regression import LogisticRegression
from tfcdr.label_prediction.system import LabelPredictionSystem
from tfcdr.named_rows import NO_ITEM, NamedRows, whole_names, with_domain
from tfcdr.report_section import Names, Section
from tfcdr.row_groups import COLD_AND_WARM, RowGroups
from tfcdr.serving.saved_model import SERVING_DEFAULT
from tfcdr.stage import Feed, PeriodicStep, Stage
from tfcdr.stage_model import MODEL_OPTIMIZER
from tfcdr.system import Serving
from tfcdr.systems.biao import report
from tfcdr.systems.biao.behaviour_source import BehaviourSource
from tfcdr.systems.biao.benchmark import BiaoBenchmark
from tfcdr.systems.biao.config import BiaoConfig
from tfcdr.systems.biao.model import (
    DESCENT,
    DEVELOPING,
    HEAD_OPTIMIZER,
    IMPORTANCE_OPTIMIZER,
    OUTER_STEP,
    TRAINING,
    BiaoModel,
)
from tfcdr.systems.biao.signatures import export_models
from tfcdr.systems.biao.tables import (
    SOURCE_CATEGORY,
    SOURCE_ITEM,
    TARGET_CATEGORY,
    TARGET_ITEM,
    USER,
    TableSizes,
)

VIEW, DEVELOPING_VIEW = "paired_behaviour", "developing_behaviour"
LABEL = "liked"


class Biao(LabelPredictionSystem[BehaviourSource]):
    """A two-domain network, and a perceptron that weighs its source behaviours."""

    name = "biao"
    config_class = BiaoConfig
    log = "interactions"
    tasks = (LABEL,)
    benchmark = BiaoBenchmark()
    signatures = (SERVING_DEFAULT,)

    def weighs_events(self, config: BiaoConfig) -> bool:
        """Weights are ratings, which say what was liked."""
        del config
        return True

    def stages(self, config: BiaoConfig) -> tuple[Stage, ...]:
        request = ViewRequest(VIEW, {"evaluation_source": config.evaluation_source})
        return (
            Stage(
                name="train",
                training=request,
                evaluation=request,
                batch_size=config.batch_size,
                epochs=config.epochs,
                patience=config.patience,
                periodic_steps=_outer_steps(config, request),
            ),
        )

    def build(self, stage: str, config: BiaoConfig, data: BehaviourSource, seed: int) -> BiaoModel:
        del stage, seed  # Of the start, which the run has seeded; a step draws nothing.
        target, source = (data.vocabulary(space) for space in ("target", "source"))
        sizes = TableSizes(
            user=data.num_users,
            target_item=target.size,
            target_category=len(target.categories),
            source_item=source.size,
            source_category=len(source.categories),
        )
        return BiaoModel(config, sizes, data.max_length, source.categories, source.domain_sizes)

    def optimizers(
        self, stage: str, config: BiaoConfig
    ) -> dict[str, tf.keras.optimizers.Optimizer]:
        del stage
        model = optimizers.pytorch_adam(
            config.learning_rate, config.l2, table_update=config.table_update
        )
        if not config.learns_weights:
            return {MODEL_OPTIMIZER: model}
        return {
            MODEL_OPTIMIZER: model,
            HEAD_OPTIMIZER: optimizers.pytorch_adam(config.learning_rate),
            IMPORTANCE_OPTIMIZER: _importance_optimizer(config),
        }

    def row_groups(self, data: BehaviourSource) -> Sequence[RowGroups]:
        del data
        effect = RowGroups("source_effect", {"with source": 1, "without source": 0})
        return (COLD_AND_WARM, effect)

    def bar(self, data: BehaviourSource) -> LogisticRegression:
        target = data.vocabulary("target")
        columns = {
            USER: data.num_users,
            TARGET_ITEM: target.size,
            TARGET_CATEGORY: len(target.categories),
        }
        # Id 0 stands for none.
        return LogisticRegression({name: 1 + size for name, size in columns.items()}, LABEL)

    def check(self, config: BiaoConfig, data: BehaviourSource, distribution: Distribution) -> None:
        """Refuses data without categories, or without a source behaviour to learn from.

        Raises:
          RunError: what is missing, and which flag gives it.
        """
        del distribution  # One device; its outer steps say so.
        for space in ("target", "source") if config.reads_sources else ("target",):
            if not data.vocabulary(space).categories:
                raise RunError(
                    f"no {space} item has a category, which biao reads: convert a log that has "
                    "them, such as --reader=movielens, amazon with its metadata, or csv with "
                    "--read.category_column."
                )

    def named_rows(
        self, config: BiaoConfig, model: BiaoModel, data: BehaviourSource
    ) -> Sequence[NamedRows]:
        """Users, items and categories, and what is measured of these in an epoch."""
        del config
        target, source = (data.vocabulary(space) for space in ("target", "source"))
        names = {
            USER: data.user_names(range(1, data.num_users + 1)),
            TARGET_ITEM: whole_names(target),
            TARGET_CATEGORY: with_domain(target, target.categories),
            SOURCE_ITEM: whole_names(source),
            SOURCE_CATEGORY: with_domain(source, source.categories),
        }
        tables = [NamedRows(of, [NO_ITEM, *names[name]]) for name, of in model.tables.items()]
        return [*tables, *model.rows_of_figures()]

    def without_transfer(self, config: BiaoConfig) -> BiaoConfig:
        """Trains the target's tower alone; it reads nothing of the sources.

        Raises:
          RunError: that is what the configuration trains.
        """
        if not config.reads_sources:
            raise RunError("--biao.source_loss=none reads no sources: there is no transfer.")
        return dataclasses.replace(config, source_loss="none")

    def export(
        self,
        config: BiaoConfig,
        model: BiaoModel,
        data: BehaviourSource,
        export_dir: Path,
        serving: Serving,
    ) -> Path:
        """Exports the signature of `signatures.py`; there is nothing to recommend."""
        return self.export_targets(config, {"": (model, data)}, export_dir, serving)

    def export_targets(
        self,
        config: BiaoConfig,
        models: Mapping[str, tuple[BiaoModel, BehaviourSource]],
        export_dir: Path,
        serving: Serving,
    ) -> Path:
        del config, serving
        return export_models(models, export_dir)

    def report_sections(
        self, config: BiaoConfig, model: BiaoModel, data: BehaviourSource, names: Names
    ) -> Sequence[Section]:
        """Shows which source behaviours the perceptron gives weight."""
        del names
        return report.sections(self.stages(config)[-1], model, data)


def _importance_optimizer(config: BiaoConfig) -> tf.keras.optimizers.Optimizer:
    if config.importance_optimizer == "adam":
        return optimizers.pytorch_adam(config.importance_learning_rate)
    # The step is compiled as a whole, the optimizer with it.
    return tf.keras.optimizers.SGD(config.importance_learning_rate, jit_compile=False)


def _outer_steps(config: BiaoConfig, request: ViewRequest) -> tuple[PeriodicStep, ...]:
    if not config.learns_weights:
        return ()
    # As released, and without --examples.developing_share, the developing rows are the training
    # rows in fixed order (SPEC section 9, quirk 5).
    developing = request._replace(view=DEVELOPING_VIEW)
    in_order = Feed(developing, config.developing_batch_size, shuffled=False)
    feeds = {
        DEVELOPING: in_order,
        # A fresh shuffled pass each time would give the same: a batch at random.
        TRAINING: Feed(request, config.outer_batch_size or config.batch_size),
    }
    if config.descent_steps:
        feeds[DESCENT] = in_order._replace(batches=config.descent_steps, restarts=True)
    return (PeriodicStep(OUTER_STEP, config.interval, feeds, config.warm_up_epochs),)
