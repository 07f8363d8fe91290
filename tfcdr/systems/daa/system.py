"""DAA's stages and how the target model starts from the source model."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import tensorflow as tf

from tfcdr import optimizers
from tfcdr.data_source import DomainPairs, ImpressionSource, ViewRequest
from tfcdr.distribution.one_device import Distribution
from tfcdr.errors import RunError
from tfcdr.label_prediction.system import LabelPredictionSystem
from tfcdr.named_rows import NamedRows
from tfcdr.report_section import Names, Section
from tfcdr.serving.saved_model import SERVING_DEFAULT
from tfcdr.stage import Stage
from tfcdr.stage_model import MODEL_OPTIMIZER
from tfcdr.system import Serving
from tfcdr.systems.daa import report
from tfcdr.systems.daa.adaptation import (
    CRITIC_OPTIMIZER,
    AdaptationModel,
    AlternatingModel,
    ReversalModel,
)
from tfcdr.systems.daa.backbone import TASKS
from tfcdr.systems.daa.benchmark import DaaBenchmark
from tfcdr.systems.daa.config import DaaConfig
from tfcdr.systems.daa.field_embedding import FieldEmbedding
from tfcdr.systems.daa.signatures import export_model
from tfcdr.systems.daa.task_model import ImpressionModel, MetaTaskModel, TaskModel

_ADVERSARIAL = {"alternating": AlternatingModel, "gradient_reversal": ReversalModel}


class Daa(LabelPredictionSystem[ImpressionSource]):
    """Training on source impressions, then adapting to the target against two domain critics."""

    name = "daa"
    config_class = DaaConfig
    log = "impressions"
    tasks = TASKS
    benchmark = DaaBenchmark()
    signatures = (SERVING_DEFAULT,)

    def stages(self, config: DaaConfig) -> tuple[Stage, ...]:
        of_source, of_target = (
            ViewRequest("impression", {"domain": role}) for role in ("source", "target")
        )
        source = Stage(
            name="source",
            training=of_source,
            evaluation=of_source,
            batch_size=config.source_batch_size,
            epochs=config.source_epochs,
            patience=config.patience,
            shared=True,
        )
        adapt = Stage(
            name="adapt",
            training=DomainPairs(of_source, of_target) if config.is_adversarial else of_target,
            evaluation=of_target,
            batch_size=config.adapt_batch_size,
            epochs=config.adapt_epochs,
            patience=config.patience,
        )
        return (source, adapt) if config.starts_from_source else (adapt,)

    def build(
        self, stage: str, config: DaaConfig, data: ImpressionSource, seed: int
    ) -> ImpressionModel:
        if sum(data.field_sizes) > tf.int32.max:
            raise _no_room(data)
        try:
            return self._build(stage, config, data, seed)
        except tf.errors.ResourceExhaustedError as error:
            raise _no_room(data) from error

    def _build(
        self, stage: str, config: DaaConfig, data: ImpressionSource, seed: int
    ) -> ImpressionModel:
        columns = data.field_sizes, len(data.numerical_columns)
        if stage == "adapt" and config.is_adversarial:
            return _ADVERSARIAL[config.adaptation](config, *columns, seed, data.labels)
        kind = MetaTaskModel if config.backbone == "metaheac" else TaskModel
        weights = (1.0, 1.0)
        if stage == "adapt":
            weights = (config.click_weight, config.conversion_weight)
        return kind(config, *columns, seed, weights, data.labels)

    def tasks_of(self, data: ImpressionSource) -> tuple[str, ...]:
        return data.labels

    def optimizers(self, stage: str, config: DaaConfig) -> dict[str, tf.keras.optimizers.Optimizer]:
        # A random start needs the source stage's settings, also on the target.
        if stage == "source" or not config.starts_from_source:
            return {
                MODEL_OPTIMIZER: optimizers.pytorch_adam(
                    config.source_learning_rate, config.source_l2
                )
            }
        model = optimizers.pytorch_adam(config.adapt_learning_rate, config.adapt_l2)
        if not config.is_adversarial:
            return {MODEL_OPTIMIZER: model}
        critics = optimizers.pytorch_adam(config.critic_learning_rate, config.adapt_l2)
        return {MODEL_OPTIMIZER: model, CRITIC_OPTIMIZER: critics}

    def export(
        self,
        config: DaaConfig,
        model: ImpressionModel,
        data: ImpressionSource,
        export_dir: Path,
        serving: Serving,
    ) -> Path:
        """Exports the signature of `signatures.py`; there is nothing to recommend."""
        del config, serving
        return export_model(
            model,
            export_dir,
            categorical=data.categorical_columns,
            numerical=data.numerical_columns,
            field_values=data.field_values,
        )

    def gains_from_xla(self) -> bool:
        # On CPU a step is a few great products, which oneDNN's kernels, TensorFlow's own, make
        # faster than those that XLA calls.
        return bool(tf.config.list_physical_devices("GPU"))

    def check(self, config: DaaConfig, data: ImpressionSource, distribution: Distribution) -> None:
        replicas = distribution.num_replicas
        # Nothing can pass between replicas in an update that only some steps make.
        if config.adaptation == "alternating" and replicas > 1:
            raise RunError(
                f"--strategy={distribution.name}: the alternating adaptation runs on one device; "
                "use --strategy=default, or --daa.adaptation=gradient_reversal."
            )
        try:
            config.check_batch_sizes(replicas)
        except ValueError as error:
            raise RunError(f"--strategy={distribution.name}: --daa.{error}") from error
        adapt = self.stages(config)[-1]
        steps = -(-adapt.steps_read.num_examples(data, "train") // adapt.batch_size)
        if config.adaptation == "alternating" and steps < config.critic_steps:
            raise RunError(
                f"an epoch of the target has {steps} batches of {adapt.batch_size} rows, fewer "
                f"than --daa.critic_steps={config.critic_steps}, so that epochs would pass without "
                "a step of the model; lower --daa.adapt_batch_size or --daa.critic_steps."
            )

    def warm_start(self, model: ImpressionModel, previous: ImpressionModel) -> None:
        """Copies the source model, running values of batch normalisation included."""
        if isinstance(model, AdaptationModel):
            model.start_from(previous.network)
        else:
            model.network.set_weights(previous.network.get_weights())

    def named_rows(
        self, config: DaaConfig, model: ImpressionModel, data: ImpressionSource
    ) -> Sequence[NamedRows]:
        """The values of categorical columns."""
        del config
        known = data.field_values or [()] * len(data.field_sizes)
        columns = zip(data.categorical_columns, data.field_sizes, known, strict=True)
        names = [
            f"{column}={value}"
            for column, size, values in columns
            for value in (["any other", *map(repr, values)] if values else range(size))
        ]
        layers = [each for each in model.submodules if isinstance(each, FieldEmbedding)]
        return [NamedRows(layer.table, names) for layer in layers]

    def without_transfer(self, config: DaaConfig) -> DaaConfig:
        """Trains the same network on the target's labels from a random start."""
        return dataclasses.replace(config, adaptation="target_only")

    def report_sections(
        self, config: DaaConfig, model: ImpressionModel, data: ImpressionSource, names: Names
    ) -> Sequence[Section]:
        """Shows the features of both domains before and after."""
        del names  # Impressions have neither users nor items.
        return report.sections(self.stages(config)[-1], model, data)

    def measurements(
        self, config: DaaConfig, model: ImpressionModel, data: ImpressionSource
    ) -> Mapping[str, float]:
        """Measures how well the domains can be told apart; see `report.measurements`."""
        return report.measurements(self.stages(config)[-1], model, data)


def _no_room(data: ImpressionSource) -> RunError:
    """Names the column that makes the table of values too great."""
    sizes = dict(zip(data.categorical_columns, data.field_sizes, strict=True))
    largest = max(sizes, key=sizes.__getitem__)
    return RunError(
        f"a table of {sum(data.field_sizes):,} values does not fit into memory: column {largest} "
        f"has values up to {sizes[largest] - 1:,}; is one of them wrong?"
    )
