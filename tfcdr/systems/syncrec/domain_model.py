"""What SyNCRec's models share: items of several domains in one table, and how they are ranked."""

import abc
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfcdr.named_rows import NamedRows
from tfcdr.ranking.catalogue_softmax import ItemRange
from tfcdr.ranking.item_loss import ItemLoss
from tfcdr.ranking.model import RankingModel, RankingQuery
from tfcdr.stage_model import Batch, StageModel
from tfcdr.systems.syncrec.config import SyncRecConfig


class DomainModel(StageModel, RankingModel):
    """A model that ranks the items of the domain that a held-out item is of.

    Batch (view `multi_domain_sequence`): in evaluation `items` and `domains` int32 [B, T], oldest
    first, left-padded with 0; `target_item`, `target_domain` int32 [B]; `seen_items` int32 [B, P];
    `candidates` int32 [B, 1 + n]. Domains are numbered from 1.

    Attributes:
      domain_sizes: items of each domain; their ids follow each other from 1.
      max_length: items T of a sequence.
      item_loss: what the model learns by at each position.
    """

    def __init__(
        self,
        name: str,
        config: SyncRecConfig,
        domain_sizes: Sequence[int],
        max_length: int,
        seed: int,
    ) -> None:
        super().__init__(name=name)
        self.config = config
        self._seed = seed
        self.domain_sizes = tuple(domain_sizes)
        self.max_length = max_length
        self.num_items = sum(domain_sizes)
        # Before the first item of each domain, and behind the last of all.
        self._bounds = np.concatenate([[0], np.cumsum(domain_sizes)]).astype(np.int32)
        self.item_loss = ItemLoss(config, np.ones(self.num_items), seed=seed)

    @abc.abstractmethod
    def rows_of_domains(self) -> list[NamedRows]:
        """Returns the variables with a row for each domain."""

    @abc.abstractmethod
    def encode(
        self, items: tf.Tensor, domains: tf.Tensor, target_domain: tf.Tensor | int
    ) -> tf.Tensor:
        """Represents users for the next item in a domain: float32 [B, H].

        Args:
          items: int32 [B, T].
          domains: int32 [B, T].
          target_domain: int32 [B], or one for all.
        """

    def position_losses(self, hidden: tf.Tensor, batch: Batch, domains: tf.Tensor) -> tf.Tensor:
        """Returns the loss at each position, float32 in the shape of the next items.

        Args:
          hidden: float [..., H], the states that predict them.
          batch: with `next_items` int32 [...], and `negative_items` [..., N] where the loss reads
            negatives of each position.
          domains: int32, broadcasts to the next items: their domains, 0 for padding.
        """
        hidden, labels = tf.cast(hidden, tf.float32), batch["next_items"]
        table = self.item_factors()[0]
        if self.item_loss.reads_negatives:
            own = tf.reduce_sum(hidden * tf.gather(table, labels), -1)
            negatives = tf.gather(table, batch["negative_items"])
            others = tf.reduce_sum(hidden[..., tf.newaxis, :] * negatives, -1)
            return self.item_loss.of_scores(own, others)
        competing = None
        if self.config.negative_domains == "own":
            domains = tf.broadcast_to(domains, tf.shape(labels))
            competing = ItemRange(*self._ids_of(domains))
        step = self.optimizer.iterations
        return self.item_loss.of_users(hidden, labels, (table, None), step, competing)

    def _ids_of(self, domains: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the first and the last id of domains; rows that fill a batch up have none."""
        bounds = tf.constant(self._bounds)
        return tf.gather(bounds, tf.maximum(domains - 1, 0)) + 1, tf.gather(bounds, domains)

    def domains_of(self, items: tf.Tensor) -> tf.Tensor:
        """Returns the domains of items, int32 of any shape, from 1; 0 for padding."""
        return tf.searchsorted(self._bounds, tf.reshape(items, [-1]), out_type=tf.int32)

    def query(self, batch: Batch) -> RankingQuery:
        domain = batch["target_domain"]
        return RankingQuery(
            user=self.encode(batch["items"], batch["domains"], domain),
            positive=batch["target_item"],
            excluded=batch["seen_items"],
            candidates=batch.get("candidates"),
            ranked=tf.stack(self._ids_of(domain), 1),
        )

    def encode_history(self, history: tf.Tensor) -> tf.Tensor:
        return self.encode_for(history, 1)

    def encode_for(self, history: tf.Tensor, domain: int) -> tf.Tensor:
        """Represents users by ids int32 [B, T] alone, for the next item in a domain from 1."""
        domains = tf.reshape(self.domains_of(history), tf.shape(history))
        return self.encode(history, tf.ensure_shape(domains, history.shape), domain)


class DomainCatalogue(RankingModel):
    """One domain of such a model by itself: its items have the ids 1..n."""

    def __init__(self, model: DomainModel, domain: int) -> None:
        """Looks at a domain, a number from 1, of a model."""
        super().__init__(name=f"domain_{domain}")
        self._model = model
        self._domain = domain
        self._before = sum(model.domain_sizes[: domain - 1])
        self.num_items = model.domain_sizes[domain - 1]

    def query(self, batch: Batch) -> RankingQuery:
        raise NotImplementedError("Held-out items are ranked by the model of all domains.")

    def encode_history(self, history: tf.Tensor) -> tf.Tensor:
        return self._model.encode_for(history, self._domain)

    def item_factors(self) -> tuple[tf.Tensor, None]:
        vectors, _ = self._model.item_factors()
        # Row 0 is no item, whatever stands there.
        return tf.slice(vectors, (self._before, 0), (self.num_items + 1, vectors.shape[1])), None
