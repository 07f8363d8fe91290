"""SyNCRec's model: D single-domain tasks and a cross-domain one, trained together."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from tfcdr.named_rows import NO_ITEM, NamedRows
from tfcdr.stage_model import Batch, StepReport, Totals
from tfcdr.systems.syncrec.config import SyncRecConfig
from tfcdr.systems.syncrec.domain_model import DomainModel
from tfcdr.systems.syncrec.draws import Draws, NoDraws, StepDraws
from tfcdr.systems.syncrec.mutual_information import MutualInformation, Scores
from tfcdr.systems.syncrec.network import CooperativeNetwork, OwnOutputs, TaskOutputs
from tfcdr.systems.syncrec.rebalancing import LossRebalancing

# By which the release divides sums of losses.
_RELEASED_SCALE = 1000.0
_TINY = 1e-24


class TrainingOutputs(NamedTuple):
    """What both kinds of task make of a training batch.

    Attributes:
      single: of the D single-domain tasks; None without them.
      cross: of the cross-domain task.
      mutual_information: the scores, or None without that loss.
    """

    single: OwnOutputs | None
    cross: TaskOutputs
    mutual_information: Scores | None


class DomainLosses(NamedTuple):
    """Sums over the targets of each domain, float [D] each.

    Attributes:
      single: losses of the single-domain tasks.
      cross: losses of the cross-domain task.
      targets: number of targets.
    """

    single: tf.Tensor
    cross: tf.Tensor
    targets: tf.Tensor


class SyncRecModel(DomainModel):
    """The cooperative model; see `DomainModel` for the batch.

    In training `items`, `domains`, `next_items`, `next_domains` int32 [B, T] and, where the
    loss reads negatives of each position, `negative_items` int32 [B, T, N]: the items at each
    position, those that come next, and others. Draws of a step
    follow from `user`.

    Attributes:
      network: what tasks share.
      rebalancing: the weights of the domains' cross-domain losses; None for other weightings.
      mutual_information: the form of that loss; None without it.
    """

    def __init__(
        self,
        config: SyncRecConfig,
        domain_sizes: Sequence[int],
        max_length: int,
        domain_names: Sequence[str],
        seed: int = 0,
    ) -> None:
        """Creates the model.

        Args:
          config: the configuration.
          domain_sizes: items of each domain, whose ids follow each other from 1.
          max_length: items T of a sequence.
          domain_names: of the domains, for figures.
          seed: of what steps draw.
        """
        super().__init__("joint", config, domain_sizes, max_length, seed)
        self._names = tuple(domain_names)
        domains = len(domain_sizes)
        self.network = CooperativeNetwork(
            config, self.num_items + 1, domains, max_length, name="network"
        )
        self.rebalancing = None
        if config.loss_weighting == "rebalanced":
            self.rebalancing = LossRebalancing(
                domains,
                config.rebalancing_decay,
                config.rebalancing_rate,
                config.rebalancing_temperature,
                name="rebalancing",
            )
        self.mutual_information = None
        if config.mutual_information:
            self.mutual_information = MutualInformation(config.hidden_size, name="information")
        nothing = tf.zeros((1, max_length), tf.int32)
        self.outputs_of(nothing, nothing, nothing, NoDraws(), with_single=True)
        self.encode(nothing, nothing, 1)
        self.built = True

    @property
    def batch_spec(self) -> dict[str, tf.TensorSpec]:
        names = ("items", "domains", "next_items", "next_domains")
        negatives = {"negative_items": tf.TensorSpec([None, self.max_length, None], tf.int32)}
        return {
            **{name: tf.TensorSpec([None, self.max_length], tf.int32) for name in names},
            **(negatives if self.item_loss.reads_negatives else {}),
            "user": tf.TensorSpec([None], tf.int32),
            "example_weight": tf.TensorSpec([None], tf.float32),
        }

    @property
    def loss_variables(self) -> list[tf.Variable]:
        """All but those of parts that this configuration uses at inference alone, or not at all."""
        idle = {
            variable.ref()
            for layer in self.network.idle_layers(self._with_single)
            for variable in layer.trainable_variables
        }
        return [variable for variable in self.trainable_variables if variable.ref() not in idle]

    @property
    def _with_single(self) -> bool:
        """Whether training computes the single-domain tasks."""
        return self.config.loss_weighting != "cross_only" or self.config.mutual_information

    def draws(self, batch: Batch) -> Draws:
        """Returns what this step draws."""
        permuted = self.config.mutual_information_negatives == "permuted"
        return StepDraws(self._seed, self.optimizer.iterations, batch["user"], permuted)

    def outputs_of(
        self,
        items: tf.Tensor,
        domains: tf.Tensor,
        next_domains: tf.Tensor,
        draws: Draws,
        with_single: bool,
    ) -> TrainingOutputs:
        """Computes both kinds of task as training does.

        Args:
          items: int32 [B, T].
          domains: int32 [B, T].
          next_domains: int32 [B, T].
          draws: of the step.
          with_single: whether single-domain tasks are needed.
        """
        single = scores = None
        if with_single:
            single = self.network.own_outputs(items, domains, next_domains, draws)
        cross = self.network.cross_task(items, domains, draws, training=True)
        if self.mutual_information is not None and single is not None:
            vectors = self._item_vectors(draws.other_rows(items))
            scores = self.mutual_information(cross.hidden[0], single.own, vectors)
        return TrainingOutputs(single, cross, scores)

    def training_outputs(self, batch: Batch) -> TrainingOutputs:
        """Computes what the losses of a batch are made of."""
        items, domains, next_domains = (
            batch[name] for name in ("items", "domains", "next_domains")
        )
        return self.outputs_of(items, domains, next_domains, self.draws(batch), self._with_single)

    def domain_losses(self, batch: Batch, outputs: TrainingOutputs) -> DomainLosses:
        """Sums the losses by the targets' domains.

        A target's domain decides, whatever the domain of the item before it.

        Args:
          batch: see the class.
          outputs: of both kinds of task.
        """
        numbers = tf.range(1, len(self.domain_sizes) + 1)
        is_target = batch["next_domains"] == numbers[:, tf.newaxis, tf.newaxis]
        weights = tf.cast(is_target, tf.float32) * batch["example_weight"][:, tf.newaxis]

        def sums(hidden: tf.Tensor) -> tf.Tensor:
            of_positions = self.position_losses(hidden, batch, batch["next_domains"])
            return tf.reduce_sum(weights * of_positions, (1, 2))

        cross = sums(outputs.cross.hidden[0])
        single = tf.zeros_like(cross) if outputs.single is None else sums(outputs.single.next)
        return DomainLosses(single, cross, tf.reduce_sum(weights, (1, 2)))

    @tf.autograph.experimental.do_not_convert  # which would take longer than the tracing
    def batch_totals(self, batch: Batch) -> Totals:
        """Returns the rows' weight and the sums of `DomainLosses`.

        The weights of re-balancing follow from the losses of the global batch, so that replicas
        compute their rows' losses once before they differentiate them.
        """
        rows = {"rows": tf.reduce_sum(batch["example_weight"])}
        return rows | self.domain_losses(batch, self.training_outputs(batch))._asdict()

    def compute_losses(self, batch: Batch) -> StepReport:
        return self.losses_of_rows(batch, None)

    @tf.autograph.experimental.do_not_convert
    def losses_of_rows(self, batch: Batch, totals: Totals | None) -> StepReport:
        config, outputs = self.config, self.training_outputs(batch)
        own = self.domain_losses(batch, outputs)
        rows = tf.reduce_sum(batch["example_weight"])
        totals = totals or {"rows": rows, **own._asdict()}
        figures: dict[str, tf.Tensor] = {}
        terms: dict[str, tf.Tensor] = {}
        scale = self._scale(totals["targets"])
        domains = len(self.domain_sizes)
        if config.loss_weighting == "cross_only":
            terms["cross_loss"] = scale * tf.reduce_sum(own.cross) * _log_inverse_share(totals)
        else:
            weights = tf.fill([domains], 1 / domains)
            single, cross = (
                tf.math.divide_no_nan(totals[name], totals["targets"])
                for name in ("single", "cross")
            )
            figures |= self._by_domain("transfer_gain", single - cross)
            if self.rebalancing is not None:
                weights = self.rebalancing(single, cross)
                figures |= self._by_domain("rebalancing_weight", weights)
            terms["single_loss"] = scale * tf.reduce_sum(own.single) / domains
            terms["cross_loss"] = scale * tf.reduce_sum(weights * own.cross)
        if outputs.mutual_information is not None:
            terms["mutual_information_loss"] = self._information_loss(
                batch, outputs.mutual_information, totals["rows"]
            )
        if outputs.single is not None:
            usage = self._gate_usage(outputs.single.gates, batch["example_weight"])
            figures |= {f"gate_usage[{index}]": of for index, of in enumerate(usage, start=1)}
        share = tf.math.divide_no_nan(rows, totals["rows"])
        figures = {name: share * value for name, value in figures.items()}
        return StepReport({"loss": tf.add_n(list(terms.values())), **terms}, figures)

    def task_gates(self, items: tf.Tensor, domains: tf.Tensor) -> tf.Tensor:
        """Returns the gates of all tasks at inference, the cross-domain one last.

        Args:
          items: int32 [B, T].
          domains: int32 [B, T].

        Returns:
          Float [D + 1, B, E].
        """
        draws = NoDraws()
        cross = self.network.cross_task(items, domains, draws, training=False)
        return tf.concat([self.network.task_gates(items, domains, draws), cross.gates], 0)

    def encode(
        self, items: tf.Tensor, domains: tf.Tensor, target_domain: tf.Tensor | int
    ) -> tf.Tensor:
        del target_domain  # One vector serves every domain.
        return self.encode_with(items, domains, NoDraws())

    @tf.autograph.experimental.do_not_convert
    def encode_with(self, items: tf.Tensor, domains: tf.Tensor, draws: Draws) -> tf.Tensor:
        """Returns the cross-domain state at the last position, float32 [B, H].

        A row without an item gets zeros.
        """
        outputs = self.network.cross_task(items, domains, draws, training=False)
        has_item = items[:, -1:] > 0
        return tf.where(has_item, tf.cast(outputs.hidden[0, :, -1], tf.float32), 0.0)

    def rows_of_domains(self) -> list[NamedRows]:
        table = self.network.embedding.domain_table
        own = self.network.own_variables()
        if self.rebalancing is not None:
            own.append(self.rebalancing.delta)
        return [
            NamedRows(table, [NO_ITEM, *self._names]),
            *(NamedRows(variable, self._names) for variable in own),
        ]

    def item_factors(self) -> tuple[tf.Tensor, None]:
        return self.network.embedding.item_table, None

    def _item_vectors(self, items: tf.Tensor) -> tf.Tensor:
        """Looks item vectors up, of which padding's does not train."""
        table = self.item_factors()[0]
        vectors = tf.gather(table, items)
        return tf.where(items[..., tf.newaxis] > 0, vectors, tf.stop_gradient(vectors))

    def _scale(self, targets: tf.Tensor) -> tf.Tensor | float:
        """By which sums of losses are multiplied."""
        if self.config.loss_reduction == "mean":
            mean = tf.math.reciprocal_no_nan(tf.reduce_sum(targets))
            only_cross = self.config.loss_weighting == "cross_only"
            # The weights of the domains sum to 1, where those of plain means are 1 each.
            return mean if only_cross else mean * len(self.domain_sizes)
        return 1.0 if self.config.loss_weighting == "cross_only" else 1 / _RELEASED_SCALE

    def _information_loss(self, batch: Batch, scores: Scores, rows: tf.Tensor) -> tf.Tensor:
        is_target = tf.cast(batch["next_items"] > 0, tf.float32)
        weights = is_target * batch["example_weight"][:, tf.newaxis]
        total = tf.reduce_sum(weights * scores.losses())
        return tf.math.divide_no_nan(total, rows * self.max_length)

    def _by_domain(self, name: str, values: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns figures, one for each domain, of float [D]; constants for the gradient."""
        of_domains = tf.unstack(tf.stop_gradient(values))
        return {f"{name}[{of}]": value for of, value in zip(self._names, of_domains, strict=True)}

    def _gate_usage(self, gates: tf.Tensor, weight: tf.Tensor) -> list[tf.Tensor]:
        """Returns each expert's mean weight over single-domain tasks and rows, E scalars."""
        of_rows = tf.cast(tf.stop_gradient(tf.reduce_mean(gates, 0)), tf.float32)
        return tf.unstack(
            tf.math.divide_no_nan(
                tf.reduce_sum(of_rows * weight[:, tf.newaxis], 0), tf.reduce_sum(weight)
            )
        )


def _log_inverse_share(totals: Totals) -> tf.Tensor:
    """-log of (targets / (targets + targets of any domain)), log 2 wherever there is a target."""
    targets = tf.reduce_sum(totals["targets"])
    return -tf.math.log((targets + _TINY) / (targets + targets))
