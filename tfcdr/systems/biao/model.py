"""The cross-domain model and the perceptron that weighs its source behaviours."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import tensorflow as tf

from tfcdr import losses
from tfcdr.label_prediction.model import MODEL, LabelModel, Scorer
from tfcdr.layers.hypergradient import Hypergradient, hypergradient
from tfcdr.named_rows import NamedRows
from tfcdr.stage_model import MODEL_OPTIMIZER, Batch, StepReport
from tfcdr.systems.biao.backbones import make_backbone
from tfcdr.systems.biao.config import BiaoConfig
from tfcdr.systems.biao.importance import Behaviours, ImportancePerceptron
from tfcdr.systems.biao.linear import linear
from tfcdr.systems.biao.tables import (
    SOURCE_CATEGORY,
    SOURCE_HISTORY,
    SOURCE_ITEM,
    TARGET_HISTORY,
    Tables,
    TableSizes,
    of_source,
    of_target,
    reads_of_pairs,
    shapes_of,
    touched_rows,
)
from tfcdr.systems.biao.weight_figures import WeightFigures

# The optimizers besides the model's, and the periodic step that they are for.
HEAD_OPTIMIZER, IMPORTANCE_OPTIMIZER = "replacement_head", "importance"
OUTER_STEP = "importance"
# The feeds of that step.
DESCENT, DEVELOPING, TRAINING = "descent", "developing", "training"
# Passes of the replacement head's descent in which its step size falls to 0.
COSINE_PASSES = 1000


class Logits(NamedTuple):
    """What the heads say, float [batch] each; None for a head that the configuration has not.

    Attributes:
      target: of the target item.
      source: of the source behaviour.
      replacement: of the target item, by the head that the outer loss reads.
    """

    target: tf.Tensor
    source: tf.Tensor | None
    replacement: tf.Tensor | None


_Layer = TypeVar("_Layer")


class BiaoModel(LabelModel):
    """A two-domain network whose source loss a perceptron weighs, row by row.

    Inner steps train the network on the target's loss and the weighted source loss. Outer steps
    train the perceptron, so that a network trained by its weights is better on the target: they
    bring a second head up to date, by which the outer loss judges, and take the hypergradient.

    Batch, of view `paired_behaviour`:

    | key | shape | dtype | |
    | --- | --- | --- | --- |
    | `user`, `target_item`, `target_category` | [B] | int32 | ids from 1 |
    | `liked` | [B] | float32 | the label |
    | `source_item`, `source_category` | [B] | int32 | a behaviour of the user's; 0 for none |
    | `source_liked`, `source_rating` | [B] | float32 | its label, and what it follows from |
    | `source_effect` | [B] | int32 | whether there is one |
    | `target_history`, `target_history_categories`, `source_history`, \
`source_history_categories` | [B, T] | int32 | items that the user liked, oldest first, 0 behind |
    | `target_length`, `source_length` | [B] | int32 | how many of them there are |
    | `example_weight` | [B] | float32 | 1, or 0 for rows that fill up the last batch |

    Attributes:
      tables: the embeddings; see `tables.TableSizes`.
      backbone: the towers.
      target_head, source_head, replacement_head: maps of their last layers to logits; None where
        the configuration has no such head.
      importance: the perceptron; None where no weights are learned.
      categories: names of the source items' categories, by ids from 1.
      domains: how many source items each source domain has, in the order of their ids.
    """

    def __init__(
        self,
        config: BiaoConfig,
        sizes: TableSizes,
        max_length: int,
        categories: Sequence[str] = (),
        domains: Mapping[str, int] | None = None,
    ) -> None:
        """Creates every variable.

        Args:
          config: the configuration.
          sizes: numbers of users, items and categories.
          max_length: items T of a history.
          categories: names of the source items' categories.
          domains: how many items each source domain has; by default they are all of one.
        """
        super().__init__(name="biao")
        self.config = config
        self.categories = tuple(categories)
        self.domains = dict(domains or {"source": sizes.source_item})
        self._max_length = max_length
        self.tables = {
            name: tf.Variable(
                tf.random.normal((size + 1, config.embedding_size), stddev=config.embedding_scale),
                name=name,
            )
            for name, size in sizes._asdict().items()
            if config.reads_sources or not name.startswith("source")
        }
        self.backbone = make_backbone(config)
        width = config.hidden_widths[-1]
        self.target_head = linear(width, 1, "target_head")
        self.source_head = linear(width, 1, "source_head") if config.reads_sources else None
        self.replacement_head = self.importance = self._weight_figures = None
        if config.learns_weights:
            self.replacement_head = linear(width, 1, "replacement_head")
            self.importance = ImportancePerceptron(config)
            self._weight_figures = WeightFigures(self.categories, self.domains)

    @property
    def batch_spec(self) -> dict[str, tf.TensorSpec]:
        config = self.config
        shapes = shapes_of(self.backbone.reads(), self._max_length)
        floats = ["liked", "example_weight"]
        if config.reads_sources:
            shapes["source_effect"] = [None]
            floats += ["source_liked"]
        if config.learns_weights:
            of_perceptron = reads_of_pairs(sources=True, histories=True)
            shapes |= shapes_of(of_perceptron, self._max_length)
            floats += ["source_rating"]
        return {
            **{name: tf.TensorSpec(shape, tf.int32) for name, shape in shapes.items()},
            **{name: tf.TensorSpec([None], tf.float32) for name in floats},
        }

    @property
    def loss_variables(self) -> list[tf.Variable]:
        """The network's; its loss moves neither the replacement head nor the perceptron."""
        heads = [head for head in (self.source_head, self.target_head) if head]
        of_layers = [
            variable for layer in (self.backbone, *heads) for variable in layer.trainable_variables
        ]
        return [*self.tables.values(), *of_layers]

    def optimizer_variables(self) -> dict[str, list[tf.Variable]]:
        named = {MODEL_OPTIMIZER: self.loss_variables}
        if self.replacement_head is not None and self.importance is not None:
            named[HEAD_OPTIMIZER] = self.replacement_head.trainable_variables
            named[IMPORTANCE_OPTIMIZER] = self.importance.trainable_variables
        return named

    def rows_of_figures(self) -> list[NamedRows]:
        """Returns what counts an epoch's weights by names, of categories among others."""
        return [] if self._weight_figures is None else self._weight_figures.named_rows()

    def scorers(self) -> dict[str, Scorer]:
        return {MODEL: lambda batch: self.probabilities(batch)[:, tf.newaxis]}

    def probabilities(self, batch: Batch) -> tf.Tensor:
        """Returns float32 [batch], the probability that the user likes the target item."""
        return tf.sigmoid(self.logits(self.tables, batch).target)

    def logits(self, tables: Tables, batch: Batch) -> Logits:
        """Computes what each head says; see `backbone.Backbone.hidden`."""
        hidden = self.backbone.hidden(tables, batch)
        return Logits(
            target=self.target_head(hidden.target)[:, 0],
            source=self.source_head(hidden.source)[:, 0] if self.source_head else None,
            replacement=(
                self.replacement_head(hidden.target)[:, 0] if self.replacement_head else None
            ),
        )

    def compute_losses(self, batch: Batch) -> StepReport:
        """Returns the inner loss and its terms (SPEC section 4), and what the weights were."""
        weights = self.weights_of(batch)
        report = self._report(self.logits(self.tables, batch), batch, weights)
        if weights is None or self._weight_figures is None or self.importance is None:
            return report
        self._weight_figures.add(batch, weights, self.sharing_rows(batch))
        return StepReport(report.losses, {"source_weight": self.importance.total()[0]})

    def epoch_figures(self) -> dict[str, float]:
        return self._weight_figures.take() if self._weight_figures else {}

    def sharing_rows(self, batch: Batch) -> tf.Tensor:
        """Returns bool [batch], the rows among which the batch's weight is shared."""
        present = batch["example_weight"] > 0
        if self.config.softmax_rows == "all":
            return present
        return tf.logical_and(present, batch["source_effect"] > 0)

    def weights_of(self, batch: Batch) -> tf.Tensor | None:
        """Returns float [batch], `behaviour_weights` by the tables as they are."""
        return self.behaviour_weights(self.tables, batch, batch)

    def behaviour_weights(self, tables: Tables, batch: Batch, whole: Batch) -> tf.Tensor | None:
        """Returns float [batch], the weights of the source behaviours; None if none are learned.

        Args:
          tables: what the network reads in this step.
          batch: with ids that point into them.
          whole: the same rows with ids of the whole tables, of which the perceptron reads the
            histories, constants.
        """
        if self.importance is None:
            return None
        behaviours = Behaviours(
            candidate=of_source(tables, batch[SOURCE_ITEM], batch[SOURCE_CATEGORY]),
            source_history=of_source(self.tables, *(whole[entry] for entry in SOURCE_HISTORY)),
            source_length=whole["source_length"],
            target_history=of_target(self.tables, *(whole[entry] for entry in TARGET_HISTORY)),
            target_length=whole["target_length"],
        )
        return self.importance(behaviours, self.sharing_rows(whole))

    def source_losses(self, logits: Logits, batch: Batch) -> tf.Tensor:
        """Returns float [batch], each source behaviour's cross-entropy; 0 where there is none."""
        cross_entropy = _cross_entropy(batch["source_liked"], logits.source)
        effect = tf.cast(batch["source_effect"], cross_entropy.dtype)
        return cross_entropy * effect

    def _report(self, logits: Logits, batch: Batch, weights: tf.Tensor | None) -> StepReport:
        rows = batch["example_weight"]
        cross_entropy = _cross_entropy(batch["liked"], logits.target)
        target_loss = losses.weighted_mean(cross_entropy, rows)
        if logits.source is None:
            return StepReport({"loss": target_loss, "target_loss": target_loss})
        of_sources = self.source_losses(logits, batch)
        if weights is None:
            source_loss = losses.weighted_mean(of_sources, rows)
        else:
            source_loss = tf.reduce_sum(weights * of_sources)
        loss = target_loss + self.config.prior_weight * source_loss
        named = {"loss": loss, "target_loss": target_loss, "source_loss": source_loss}
        return StepReport(named)

    def periodic_step(self, name: str, feeds: Mapping[str, Batch]) -> StepReport:
        """Makes an outer step (SPEC section 5).

        Args:
          name: `OUTER_STEP`.
          feeds: `DEVELOPING` and `TRAINING`, one batch each; `DESCENT`, any number, if there is a
            descent.
        """
        developing, training = (
            {entry: values[0] for entry, values in feeds[feed].items()}
            for feed in (DEVELOPING, TRAINING)
        )
        descent = {}
        if DESCENT in feeds:
            descent["replacement_loss"] = self.descend(feeds[DESCENT])
        found = self.hypergradient(training, developing)
        norm = self.apply_hypergradient(found.gradients)
        named = {
            "developing_loss": found.outer_loss,
            "training_loss": found.inner_loss,
            **descent,
        }
        return StepReport(named, {"hypergradient_norm": norm})

    def descend(self, batches: Batch) -> tf.Tensor:
        """Makes a step of the replacement head with each batch; returns the mean of their losses.

        Args:
          batches: entries [batches, batch, ...].
        """
        optimizer, head = self.optimizers[HEAD_OPTIMIZER], self._learned(self.replacement_head)
        optimizer.learning_rate.assign(self.head_learning_rate())
        number = batches["liked"].shape[0]

        def step(place: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            batch = {entry: values[place] for entry, values in batches.items()}
            hidden = self.backbone.hidden(self.tables, batch).target
            with tf.GradientTape() as tape:
                cross_entropy = _cross_entropy(batch["liked"], head(hidden)[:, 0])
                loss = losses.weighted_mean(cross_entropy, batch["example_weight"])
            variables = head.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
            return place + 1, total + loss

        _, total = tf.while_loop(
            lambda place, total: place < number, step, (tf.constant(0), tf.constant(0.0))
        )
        return total / number

    @staticmethod
    def _learned(layer: _Layer | None) -> _Layer:
        """Returns a layer of outer steps.

        Raises:
          ValueError: the configuration learns no weights, and so has none.
        """
        if layer is None:
            raise ValueError("No outer step: the configuration learns no weights.")
        return layer

    def head_learning_rate(self) -> tf.Tensor:
        """Returns the replacement head's step size: a cosine over the outer steps made so far."""
        passes = tf.cast(self.optimizers[IMPORTANCE_OPTIMIZER].iterations, tf.float32)
        return self.config.learning_rate * (1 + tf.cos(np.pi * passes / COSINE_PASSES)) / 2

    def hypergradient(self, training: Batch, developing: Batch) -> Hypergradient:
        """Differentiates the developing loss by the perceptron, through the network.

        Of the tables only the rows count that one of the batches reads.

        Args:
          training: of the inner loss.
          developing: of the outer loss.
        """
        reads = self.backbone.reads()
        touched = touched_rows(self.tables, reads, [training, developing])
        with_places, of_developing = touched.batches

        def outer_loss() -> tf.Tensor:
            replacement = self.logits(touched.tables, of_developing).replacement
            cross_entropy = _cross_entropy(developing["liked"], replacement)
            return losses.weighted_mean(cross_entropy, developing["example_weight"])

        def inner_loss() -> tf.Tensor:
            weights = self.behaviour_weights(touched.tables, with_places, training)
            logits = self.logits(touched.tables, with_places)
            return self._report(logits, with_places, weights).losses["loss"]

        return hypergradient(
            outer_loss,
            inner_loss,
            [*touched.tables.values(), *self.backbone.trainable_variables],
            self._learned(self.importance).trainable_variables,
            terms=self.config.neumann_terms,
            step=self.config.neumann_step,
        )

    def apply_hypergradient(self, gradients: Sequence[tf.Tensor]) -> tf.Tensor:
        """Clips, adds the decay and moves the perceptron; returns the norm before."""
        config, importance = self.config, self._learned(self.importance)
        variables = importance.trainable_variables
        norm = tf.linalg.global_norm(gradients)
        scale = tf.minimum(1.0, config.clip_norm / (norm + 1e-6))
        with_decay = [
            scale * slope + config.importance_decay * variable
            if importance.decays(variable)
            else scale * slope
            for slope, variable in zip(gradients, variables, strict=True)
        ]
        pairs = zip(with_decay, variables, strict=True)
        self.optimizers[IMPORTANCE_OPTIMIZER].apply_gradients(pairs)
        return norm


def _cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    return tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
