"""The train step of a stage that minimises one loss, on one replica or several."""

import abc
from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

Batch = Mapping[str, tf.Tensor]
# A dense tensor, tf.IndexedSlices of a table's touched rows, or None, for each trainable variable.
Gradients = list[tf.Tensor | tf.IndexedSlices | None]
# Of a batch: sums by which its losses are divided, by name.
Totals = Mapping[str, tf.Tensor]

# The optimizer that minimises "loss"; the only one of most stages.
MODEL_OPTIMIZER = "model"


class StepReport(NamedTuple):
    """What a step tells, float scalars by name.

    Attributes:
      losses: "loss", which is minimised, and its terms.
      figures: what else is worth watching: weights, norms, gates.
    """

    losses: Mapping[str, tf.Tensor]
    figures: Mapping[str, tf.Tensor] = {}

    def scaled(self, share: tf.Tensor) -> "StepReport":
        """Multiplies everything by a share, so that the replicas' reports add up to a mean."""
        return tf.nest.map_structure(lambda value: share * value, self)


class StageModel(tf.keras.Model, abc.ABC):
    """A Keras model trained on dict batches.

    Write `batch_spec` and `compute_losses`. Then, where a system needs it:

    * several optimizers: `optimizer_variables`, and `loss_variables` and `apply_gradients`, which
      say what the gradient of "loss" moves; or a `train_step` of its own;
    * a loss that is not one weighted mean over a batch's rows: `batch_totals`, `losses_of_rows`;
    * steps besides the train step (`Stage.periodic_steps`): `periodic_step`;
    * figures that are known at an epoch's end alone: `epoch_figures`.

    Several replicas share the rows of a global batch and make the step that one replica would
    make with all of them: what they compute adds up to the global batch's losses. What a step
    draws must therefore not depend on a row's place: replicas draw the same from
    `optimizer.iterations`.

    Functions are traced without AutoGraph, which takes seconds to rewrite a model's and Keras'
    source: what depends on a tensor's value is a `tf.cond`, a `tf.where` or a `tf.while_loop`.

    Attributes:
      optimizer: the one that minimises "loss", `optimizers["model"]`.
      optimizers: all of them by name, as `compile` took them; the run saves them, so that a
        checkpoint of the model alone holds weights alone.
    """

    @property
    @abc.abstractmethod
    def batch_spec(self) -> dict[str, tf.TensorSpec]:
        """The entries that a training batch must hold; None stands for any size."""

    @abc.abstractmethod
    def compute_losses(self, batch: Batch) -> StepReport:
        """Returns the losses over a batch's rows, and figures; "loss" is the one to minimise."""

    @tf.__internal__.tracking.no_automatic_dependency_tracking
    def compile(
        self, optimizers: Mapping[str, tf.keras.optimizers.Optimizer], jit_compile: bool = False
    ) -> None:
        """Takes the optimizers and how steps are compiled.

        Under a mixed-precision policy Keras wraps the model's optimizer, so that it scales the
        loss; the others are left as they are and must train float32 parts.

        Args:
          optimizers: fresh ones, one for each entry of `optimizer_variables`.
          jit_compile: whether XLA compiles the steps.
        """
        super().compile(optimizer=optimizers[MODEL_OPTIMIZER], jit_compile=jit_compile)
        self.optimizers = {**optimizers, MODEL_OPTIMIZER: self.optimizer}

    def optimizer_variables(self) -> dict[str, list[tf.Variable]]:
        """Returns the variables that each optimizer moves, by its name."""
        return {MODEL_OPTIMIZER: self.trainable_variables}

    def build_optimizers(self) -> None:
        """Creates the state of every optimizer, in the scope of the run's distribution."""
        for name, variables in self.optimizer_variables().items():
            self.optimizers[name].build(variables)

    @property
    def loss_variables(self) -> list[tf.Variable]:
        """The variables by which "loss" is differentiated."""
        return self.trainable_variables

    def batch_totals(self, batch: Batch) -> Totals:
        """Returns the sums over some rows by which the losses of the global batch are divided.

        The run adds them up over replicas and hands them to `losses_of_rows`. One weighted mean
        has one total; a mean for each domain has a vector of the domains' weights, or several
        entries.
        """
        return {"example_weight": tf.reduce_sum(batch["example_weight"])}

    def losses_of_rows(self, batch: Batch, totals: Totals | None) -> StepReport:
        """Returns what some rows of a global batch add to its losses and figures.

        Over the replicas they add up to the report of the global batch. By default all is a mean
        weighted like the one entry of `batch_totals`, a penalty as well as a row's loss, since
        the replicas' shares add up to 1.

        Args:
          batch: the rows.
          totals: of the global batch, float; None where these are all of its rows.
        """
        report = self.compute_losses(batch)
        if totals is None:
            return report
        if len(totals) != 1:
            raise NotImplementedError(
                f"{type(self).__name__} has the totals {', '.join(totals)} and must say in "
                "losses_of_rows how its losses are divided by them."
            )
        ((name, total),) = totals.items()
        return report.scaled(tf.math.divide_no_nan(self.batch_totals(batch)[name], total))

    def loss_and_gradients(
        self, batch: Batch, totals: Totals | None = None
    ) -> tuple[StepReport, Gradients]:
        """Returns what some rows add to the global batch's report and to its loss's gradients.

        Args:
          batch: the rows.
          totals: see `losses_of_rows`.
        """
        variables = self.loss_variables
        with tf.GradientTape() as tape:
            report = self.losses_of_rows(batch, totals)
        # Scales the loss up and the gradients down where mixed precision asks for it.
        gradients = self.optimizer.compute_gradients(report.losses["loss"], variables, tape=tape)
        return report, [gradient for gradient, _ in gradients]

    def apply_gradients(self, gradients: Gradients) -> None:
        """Updates `loss_variables` by gradients, which it first adds up over replicas."""
        self.optimizer.apply_gradients(zip(gradients, self.loss_variables, strict=True))

    def train_step(self, batch: Batch) -> StepReport:
        """Updates the weights once and returns the report of the global batch.

        XLA compiles what a replica computes by itself, forward and backward, if the model was
        compiled with `jit_compile`. It cannot compile what passes between replicas, and on CPU
        its updates of whole variables are slower than TensorFlow's fused kernels. All of it does
        compile as one, on one replica.

        Args:
          batch: this replica's rows.
        """
        replica = tf.distribute.get_replica_context()
        add_up = tf.distribute.ReduceOp.SUM
        several = replica.num_replicas_in_sync > 1
        totals = replica.all_reduce(add_up, self.batch_totals(batch)) if several else None
        compute = tf.function(
            self.loss_and_gradients, jit_compile=self.jit_compile, autograph=False
        )
        report, gradients = compute(batch, totals)
        self.apply_gradients(gradients)
        return replica.all_reduce(add_up, report) if several else report

    def periodic_step(self, name: str, feeds: Mapping[str, Batch]) -> StepReport:
        """Makes one of the stage's periodic steps; runs as one compiled call, on one device.

        Args:
          name: of the step.
          feeds: for each of its feeds the batches of this time, entries [batches, batch, ...].
        """
        raise NotImplementedError(f"{type(self).__name__} has no step {name!r}.")

    def epoch_figures(self) -> dict[str, float]:
        """Returns what was measured over the epoch that ends now, by name."""
        return {}
