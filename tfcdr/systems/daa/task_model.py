"""Plain training on impressions of one domain, and MetaHeac's training by support and query."""

from collections.abc import Sequence

import tensorflow as tf

from tfcdr import losses
from tfcdr.label_prediction.model import MODEL, LabelModel, Scorer
from tfcdr.stage_model import Batch, StepReport
from tfcdr.systems.daa.backbone import TASKS, Backbone
from tfcdr.systems.daa.backbones import make_backbone
from tfcdr.systems.daa.config import DaaConfig


class ImpressionModel(LabelModel):
    """A stage whose product is one network that scores impressions.

    Attributes:
      network: the network that evaluation and serving read.
      tasks: what it is trained and scored on.
    """

    def __init__(
        self,
        name: str,
        config: DaaConfig,
        field_sizes: tuple[int, ...],
        num_numerical: int,
        seed: int = 0,
        tasks: Sequence[str] = TASKS,
    ) -> None:
        """Creates the network.

        Args:
          name: the model's.
          config: the configuration.
          field_sizes: number of values of each categorical column.
          num_numerical: numerical columns M.
          seed: of dropout and draws.
          tasks: the first of `TASKS`, those that the data have labels of. Towers of others stand
            idle.
        """
        super().__init__(name=name)
        self.tasks = tuple(tasks)
        self.config = config
        self.network = make_backbone(config, field_sizes, num_numerical)
        self._seed = seed

    def probabilities(self, categorical: tf.Tensor, numerical: tf.Tensor) -> tf.Tensor:
        """Scores impressions.

        Args:
          categorical: int32 [batch, F].
          numerical: float32 [batch, M].

        Returns:
          Float32 [batch, tasks], in the order of `tasks`.
        """
        return probabilities(self.network, categorical, numerical)[:, : len(self.tasks)]

    def scorers(self) -> dict[str, Scorer]:
        return {MODEL: self.scorer_of(self.network)}

    def scorer_of(self, network: Backbone) -> Scorer:
        """Returns what scores the rows of evaluation batches by a network."""
        tasks = len(self.tasks)
        return lambda batch: probabilities(network, batch["categorical"], batch["numerical"])[
            :, :tasks
        ]

    def _columns_spec(self, prefix: str = "") -> dict[str, tf.TensorSpec]:
        fields, numerical = len(self.network.field_sizes), self.network.num_numerical
        return {
            f"{prefix}categorical": tf.TensorSpec([None, fields], tf.int32),
            f"{prefix}numerical": tf.TensorSpec([None, numerical], tf.float32),
            f"{prefix}example_weight": tf.TensorSpec([None], tf.float32),
        }

    def _labels_spec(self, prefix: str = "") -> dict[str, tf.TensorSpec]:
        return {f"{prefix}{task}": tf.TensorSpec([None], tf.float32) for task in self.tasks}

    def _step_seed(self, step: tf.Tensor) -> tf.Tensor:
        """Returns the int [2] seed of what a step draws, another one on each replica."""
        seed = tf.stack([tf.constant(self._seed, tf.int32), tf.cast(step, tf.int32)])
        replica = tf.distribute.get_replica_context()
        if replica is None or replica.num_replicas_in_sync == 1:
            return seed
        return tf.random.experimental.stateless_fold_in(seed, replica.replica_id_in_sync_group)


def probabilities(network: Backbone, categorical: tf.Tensor, numerical: tf.Tensor) -> tf.Tensor:
    """Scores impressions by a network, of all `TASKS`; see `ImpressionModel.probabilities`.

    No backbone makes sure by itself that a click and a purchase are not likelier than a click: the
    smaller of the two probabilities is the answer.
    """
    click, conversion = tf.unstack(tf.sigmoid(network(categorical, numerical).logits), axis=1)
    return tf.stack([click, tf.minimum(click, conversion)], 1)


def task_losses(
    logits: tf.Tensor, batch: Batch, prefix: str = "", tasks: Sequence[str] = TASKS
) -> tf.Tensor:
    """Returns each task's mean binary cross-entropy, float [tasks] (SPEC section 3).

    Args:
      logits: float [batch, `TASKS`].
      batch: holds the labels and `example_weight`.
      prefix: of these keys.
      tasks: the first of `TASKS`, those that have labels.
    """
    labels = tf.stack([batch[f"{prefix}{task}"] for task in tasks], 1)
    cross_entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits[:, : len(tasks)])
    weights = batch[f"{prefix}example_weight"]
    return tf.stack(
        [losses.weighted_mean(of_task, weights) for of_task in tf.unstack(cross_entropy, axis=1)]
    )


def by_task(of_tasks: tf.Tensor) -> dict[str, tf.Tensor]:
    """Names the losses float [tasks], such as "click_loss"."""
    return {f"{task}_loss": loss for task, loss in zip(TASKS, tf.unstack(of_tasks), strict=False)}


class TaskModel(ImpressionModel):
    """Trains a network on the labels of one domain, by the tasks' mean loss.

    Training batch: `categorical` int32 [batch, F]; `numerical` float32 [batch, M]; `click`,
    `conversion` and `example_weight` float32 [batch].
    """

    def __init__(
        self,
        config: DaaConfig,
        field_sizes: tuple[int, ...],
        num_numerical: int,
        seed: int = 0,
        task_weights: tuple[float, float] = (1.0, 1.0),
        tasks: Sequence[str] = TASKS,
    ) -> None:
        """Creates the model.

        Args:
          config: the configuration.
          field_sizes: number of values of each categorical column.
          num_numerical: numerical columns M.
          seed: of the dropout.
          task_weights: of the click and the conversion loss.
          tasks: see `ImpressionModel`.
        """
        super().__init__("task_model", config, field_sizes, num_numerical, seed, tasks)
        self._task_weights = task_weights

    @property
    def batch_spec(self) -> dict[str, tf.TensorSpec]:
        return {**self._columns_spec(), **self._labels_spec()}

    def compute_losses(self, batch: Batch) -> StepReport:
        prediction = self.network(
            batch["categorical"],
            batch["numerical"],
            training=True,
            seed=self._step_seed(self.optimizer.iterations),
        )
        return self._report(task_losses(prediction.logits, batch, tasks=self.tasks))

    def _report(self, of_tasks: tf.Tensor) -> StepReport:
        weighted = of_tasks * tf.constant(self._task_weights[: len(self.tasks)])
        return StepReport({"loss": tf.reduce_mean(weighted), **by_task(of_tasks)})


class MetaTaskModel(TaskModel):
    """Trains MetaHeac: the query rows' loss behind an inner step on the support rows.

    The rows of a training batch (see `TaskModel`) are `config.meta_batches` equal parts, each of
    which holds its support rows, then as many query rows. For each part one gradient step on the
    support rows moves the task embedding; the loss is the mean of the query rows' losses behind
    it, and its gradient goes through the inner step (second order).

    The release also makes moved copies of all other weights, which nothing reads, and goes on
    to evaluate with the last moved task embedding; here evaluation reads the learned one (SPEC
    section 7).
    """

    def compute_losses(self, batch: Batch) -> StepReport:
        parts = self.config.meta_batches
        seed = self._step_seed(self.optimizer.iterations)
        seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 2 * parts))
        halves = {key: tf.split(batch[key], 2 * parts) for key in self.batch_spec}
        of_queries = []
        for part in range(parts):
            support, query = (
                {key: values[half] for key, values in halves.items()}
                for half in (2 * part, 2 * part + 1)
            )
            fast = self.fast_task_embedding(support, seeds[2 * part])
            of_queries.append(self.rows_losses(query, fast, seeds[2 * part + 1]))
        return self._report(tf.add_n(of_queries) / parts)

    def fast_task_embedding(self, support: Batch, seed: tf.Tensor) -> tf.Tensor:
        """Returns the task embedding, float [tasks, e], behind one step on support rows."""
        slow = tf.convert_to_tensor(self.network.task_embedding)
        with tf.GradientTape() as tape:
            tape.watch(slow)
            loss = tf.reduce_mean(self.rows_losses(support, slow, seed))
        return slow - self.config.local_learning_rate * tape.gradient(loss, slow)

    def rows_losses(self, rows: Batch, task_embedding: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        prediction = self.network(
            rows["categorical"],
            rows["numerical"],
            training=True,
            seed=seed,
            task_embedding=task_embedding,
        )
        return task_losses(prediction.logits, rows, tasks=self.tasks)
