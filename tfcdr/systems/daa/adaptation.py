"""Domain adaptation: a target model is trained against two critics that know the source."""

import abc
from collections.abc import Callable, Sequence

import tensorflow as tf

from tfcdr import losses
from tfcdr.label_prediction.model import Scorer
from tfcdr.layers.stateless_uniform import uniform
from tfcdr.stage_model import MODEL_OPTIMIZER, Batch, Gradients, StepReport, Totals
from tfcdr.systems.daa.backbone import TASKS, Backbone, Prediction
from tfcdr.systems.daa.backbones import make_backbone
from tfcdr.systems.daa.config import DaaConfig
from tfcdr.systems.daa.critic import Critic, CriticLosses, critic_losses
from tfcdr.systems.daa.task_model import ImpressionModel, by_task, task_losses

# The optimizer that moves the critics.
CRITIC_OPTIMIZER = "critics"
# The scorer that the target model started from.
SOURCE_MODEL = "source model"


class AdaptationModel(ImpressionModel, abc.ABC):
    """A frozen source model, a target model that starts from it, and two critics.

    The first critic compares source features by the source model with target features by the
    target model; the second, source with target features by the target model (SPEC section 5).

    Training batch, a row of source and a row of target side by side: `source_categorical` and
    `target_categorical` int32 [batch, F]; `source_numerical` and `target_numerical` float32
    [batch, M]; `target_click`, `target_conversion`, `source_example_weight` and
    `target_example_weight` float32 [batch].

    Attributes:
      network: the target model.
      source_network: the source model.
      critics: the two; the optimizer `CRITIC_OPTIMIZER` moves them.
    """

    def __init__(
        self,
        config: DaaConfig,
        field_sizes: tuple[int, ...],
        num_numerical: int,
        seed: int = 0,
        tasks: Sequence[str] = TASKS,
    ) -> None:
        """Creates all networks; `start_from` gives them the source model's weights.

        Args:
          config: the configuration.
          field_sizes: number of values of each categorical column, the same in both domains.
          num_numerical: numerical columns M.
          seed: of dropout and interpolation.
          tasks: see `ImpressionModel`.
        """
        super().__init__("adaptation", config, field_sizes, num_numerical, seed, tasks)
        self.source_network = make_backbone(config, field_sizes, num_numerical)
        self.source_network.trainable = False
        features = self.network.num_features
        self.critics = [Critic(features, config, name=f"critic{number}") for number in range(2)]

    def start_from(self, source: Backbone) -> None:
        """Copies a source model's weights and running values into both networks."""
        # Keras lists the weights of a frozen network in another order.
        self.source_network.trainable = True
        for network in (self.source_network, self.network):
            network.set_weights(source.get_weights())
        self.source_network.trainable = False

    def scorers(self) -> dict[str, Scorer]:
        return {**super().scorers(), SOURCE_MODEL: self.scorer_of(self.source_network)}

    @property
    def batch_spec(self) -> dict[str, tf.TensorSpec]:
        return {
            **self._columns_spec("source_"),
            **self._columns_spec("target_"),
            **self._labels_spec("target_"),
        }

    @property
    def critic_variables(self) -> list[tf.Variable]:
        """Both critics' weights."""
        return [variable for critic in self.critics for variable in critic.trainable_variables]

    @property
    def critic_optimizer(self) -> tf.keras.optimizers.Optimizer:
        """The critics' optimizer, whose iterations count the batches."""
        return self.optimizers[CRITIC_OPTIMIZER]

    @property
    def loss_variables(self) -> list[tf.Variable]:
        return self.network.trainable_variables

    def optimizer_variables(self) -> dict[str, list[tf.Variable]]:
        return {
            MODEL_OPTIMIZER: self.network.trainable_variables,
            CRITIC_OPTIMIZER: self.critic_variables,
        }

    def batch_totals(self, batch: Batch) -> Totals:
        return {"example_weight": tf.reduce_sum(batch["target_example_weight"])}

    def real_features(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns source features by the source and by the target model, constants."""
        columns = batch["source_categorical"], batch["source_numerical"]
        by_source = self.source_network(*columns).features
        by_target = self.network(*columns).features
        return tf.stop_gradient(by_source), tf.stop_gradient(by_target)

    def interpolation(self, batch: Batch) -> tf.Tensor:
        """Draws the shares alpha of the gradient penalties, float [2, batch, 1]."""
        seed = tf.random.experimental.stateless_fold_in(self._batch_seed(), 2)
        rows = tf.shape(batch["target_numerical"])[0]
        return uniform((2, rows, 1), seed)

    def losses_of_critics(
        self, batch: Batch, real: tuple[tf.Tensor, tf.Tensor], fake: tf.Tensor
    ) -> list[CriticLosses]:
        """Returns the terms of both critics' losses; see `critic_losses`."""
        return critic_losses(
            self.critics,
            real,
            fake,
            self.interpolation(batch),
            batch["source_example_weight"],
            batch["target_example_weight"],
            self.config,
        )

    def weighted_task_loss(self, of_tasks: tf.Tensor) -> tf.Tensor:
        """Returns (lr_c click + lr_ac conversion) / 2 of losses float [tasks]; of one, its own."""
        weights = (self.config.click_weight, self.config.conversion_weight)[: len(self.tasks)]
        return tf.reduce_mean(tf.constant(weights) * of_tasks)

    def losses_of_tasks(self, logits: tf.Tensor, batch: Batch) -> tf.Tensor:
        """Returns each task's loss on the target rows, float [tasks]."""
        return task_losses(logits, batch, "target_", self.tasks)

    def _batch_seed(self) -> tf.Tensor:
        return self._step_seed(self.critic_optimizer.iterations)

    def _prediction_and_fake(self, batch: Batch, seed: tf.Tensor) -> tuple[Prediction, tf.Tensor]:
        """Returns the training pass over the target rows and the features that critics see."""
        columns = batch["target_categorical"], batch["target_numerical"]
        if self.config.fake_features == "train":
            prediction = self.network(*columns, training=True, seed=seed)
            return prediction, prediction.features
        # First, since the training pass moves the running values.
        fake = self.network(*columns).features
        return self.network(*columns, training=True, seed=seed), fake


class AlternatingModel(AdaptationModel):
    """DAA: on every batch a step of the critics, behind every few of them one of the model.

    What `loss_and_gradients` and `apply_gradients` do is the model's step.
    """

    def compute_losses(self, batch: Batch) -> StepReport:
        """Returns the target model's losses against the critics as they are."""
        seed = tf.random.experimental.stateless_fold_in(self._batch_seed(), 1)
        prediction, features = self._prediction_and_fake(batch, seed)
        scores = [
            losses.weighted_mean(critic(features), batch["target_example_weight"])
            for critic in self.critics
        ]
        return self._report(self.losses_of_tasks(prediction.logits, batch), scores)

    def critic_losses_and_gradients(self, batch: Batch) -> tuple[StepReport, Gradients]:
        """Returns the batch's report before any update and the critics' gradients."""
        # Real features first: the training pass moves the target model's running values.
        real = self.real_features(batch)
        prediction, features = self._prediction_and_fake(batch, self._batch_seed())
        fake = tf.stop_gradient(features)
        variables = self.critic_variables
        with tf.GradientTape() as tape:
            terms = self.losses_of_critics(batch, real, fake)
            critic_loss = tf.add_n([of_critic.loss for of_critic in terms])
        gradients = tape.gradient(critic_loss, variables)
        of_tasks = self.losses_of_tasks(prediction.logits, batch)
        report = self._report(of_tasks, [of_critic.fake for of_critic in terms])
        penalty = tf.add_n([of_critic.penalty for of_critic in terms])
        of_critics = {"critic_loss": critic_loss, "gradient_penalty": penalty}
        return StepReport({**report.losses, **of_critics}), gradients

    def train_step(self, batch: Batch) -> StepReport:
        """Updates the critics, and the model where its turn has come; for one replica alone.

        Args:
          batch: all rows.

        Returns:
          The report before the updates, so that every step has all of its losses.
        """
        compute = tf.function(
            self.critic_losses_and_gradients, jit_compile=self.jit_compile, autograph=False
        )
        report, gradients = compute(batch)
        pairs = zip(gradients, self.critic_variables, strict=True)
        self.critic_optimizer.apply_gradients(pairs)
        due = self.critic_optimizer.iterations % self.config.critic_steps == 0
        tf.cond(due, lambda: self._update_network(batch), lambda: False)
        return report

    def _update_network(self, batch: Batch) -> bool:
        compute = tf.function(
            self.loss_and_gradients, jit_compile=self.jit_compile, autograph=False
        )
        self.apply_gradients(compute(batch)[1])
        return True

    def _report(self, of_tasks: tf.Tensor, scores: list[tf.Tensor]) -> StepReport:
        adversarial = -tf.add_n(scores)
        loss = self.weighted_task_loss(of_tasks) + self.config.adversarial_weight * adversarial
        return StepReport({"loss": loss, **by_task(of_tasks), "adversarial_loss": adversarial})


class ReversalModel(AdaptationModel):
    """Model and critics by one backward pass through a gradient-reversal layer (SPEC section 6)."""

    def compute_losses(self, batch: Batch) -> StepReport:
        """Returns the losses; the gradient of "loss" by the model's weights is the model's own."""
        real = self.real_features(batch)
        prediction, fake = self._prediction_and_fake(batch, self._batch_seed())
        terms = self.losses_of_critics(batch, real, reverse_gradient(fake, self.reversal()))
        critic_loss = tf.add_n([of_critic.loss for of_critic in terms])
        of_tasks = self.losses_of_tasks(prediction.logits, batch)
        named = {
            "loss": self.weighted_task_loss(of_tasks) + critic_loss,
            **by_task(of_tasks),
            "adversarial_loss": -tf.add_n([of_critic.fake for of_critic in terms]),
            "critic_loss": critic_loss,
            "gradient_penalty": tf.add_n([of_critic.penalty for of_critic in terms]),
        }
        return StepReport(named, {"reversal_weight": self.reversal()})

    def reversal(self) -> tf.Tensor:
        """Returns lambda at this step: w (2 / (1 + exp(-10 p)) - 1) at progress p of its ramp."""
        weight = tf.constant(self.config.adversarial_weight, tf.float32)
        if not self.config.reversal_ramp_steps:
            return weight
        step = tf.cast(self.critic_optimizer.iterations, tf.float32)
        progress = tf.minimum(step / self.config.reversal_ramp_steps, 1.0)
        return weight * (2 / (1 + tf.exp(-10 * progress)) - 1)

    @property
    def loss_variables(self) -> list[tf.Variable]:
        return [*self.network.trainable_variables, *self.critic_variables]

    def apply_gradients(self, gradients: Gradients) -> None:
        variables = self.network.trainable_variables
        self.optimizer.apply_gradients(zip(gradients[: len(variables)], variables, strict=True))
        of_critics = gradients[len(variables) :]
        self.critic_optimizer.apply_gradients(zip(of_critics, self.critic_variables, strict=True))


@tf.custom_gradient
def reverse_gradient(
    values: tf.Tensor, factor: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, None]]]:
    """Returns values as they are; their gradient is multiplied by -factor (Ganin et al., 2016)."""
    return tf.identity(values), lambda upstream: (-factor * upstream, None)
