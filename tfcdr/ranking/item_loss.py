"""The family of losses by which ranking systems learn which item comes next.

| name | what a positive is compared with | source |
| --- | --- | --- |
| `bce` | negatives, each by itself: cross-entropy | He et al., WWW 2017 |
| `gbce` | the same, calibrated for how few negatives there are | Petrov, Macdonald, RecSys 2023 |
| `bpr` | negatives, in pairs | Rendle et al., UAI 2009 |
| `bpr_softmax` | the same, the harder ones counting more | Hidasi, Karatzoglou, CIKM 2018 |
| `sampled_softmax` | one sample for the batch, corrected by log Q | Jean et al., ACL 2015 |
| `softmax` | all items | |

The first four compare with negatives of each row's own, or with `shared_negatives` that all rows of
a batch share: many more for the same cost. What is shared is drawn in the step and spares a row's
own positive alone.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from tfcdr import field_checks, losses
from tfcdr.layers import candidate_sampling
from tfcdr.ranking.catalogue_softmax import ItemRange, full_softmax

LOSSES = ("bce", "gbce", "bpr", "bpr_softmax", "sampled_softmax", "softmax")
SHARED_SAMPLERS = ("uniform", "popularity")
# Negatives that a batch shares where a loss must share and nothing is said.
_SHARED_BY_DEFAULT = 1000

_PAIRWISE = {
    "bce": losses.pairwise_cross_entropy,
    "bpr": losses.bayesian_personalized_ranking,
    "bpr_softmax": losses.bpr_softmax,
}


def check_fields(config: Any, sampler: str = "uniform") -> None:
    """Refuses what the chosen loss cannot do.

    Args:
      config: a dataclass with the fields `loss`, `shared_negatives` and `gbce_calibration`.
      sampler: of its negatives.

    Raises:
      ValueError: naming the field.
    """
    field_checks.check_choices(config, {"loss": LOSSES})
    field_checks.check_not_negative(config, ("shared_negatives",))
    if not 0 <= config.gbce_calibration <= 1:
        raise ValueError(
            f"gbce_calibration must be in [0, 1]. Received: {config.gbce_calibration}."
        )
    if config.loss == "softmax" and config.shared_negatives:
        raise ValueError(
            "shared_negatives must be 0 for loss=softmax, which compares with all items. "
            f"Received: {config.shared_negatives}."
        )
    if config.loss == "gbce" and sampler != "uniform":
        raise ValueError(
            "loss=gbce is calibrated for negatives drawn uniformly: it cannot take "
            f"negative_sampler={sampler}."
        )
    if shares_negatives(config) and sampler not in SHARED_SAMPLERS:
        raise ValueError(
            f"negative_sampler={sampler} draws for each row; what a batch shares, as "
            f"loss={config.loss} does here, is drawn by one of {', '.join(SHARED_SAMPLERS)}."
        )


def shares_negatives(config: Any) -> bool:
    """Whether rows of a batch share their negatives; see `check_fields` for the fields."""
    return config.loss == "sampled_softmax" or config.shared_negatives > 0


def row_negatives(config: Any) -> int:
    """Returns how many negatives of its own each row of a batch needs."""
    alone = config.loss == "softmax" or shares_negatives(config)
    return 0 if alone else config.negatives


class ItemLoss:
    """One of `LOSSES`, of users and their positives among the items 1..n.

    Attributes:
      reads_negatives: whether batches bring negatives for each row, and `of_scores` is to be
        called; `of_users` otherwise.
    """

    def __init__(
        self, config: Any, counts: np.ndarray, sampler: str = "uniform", seed: int = 0
    ) -> None:
        """Creates the loss.

        Args:
          config: see `check_fields`.
          counts: int [n], training interactions of the items that compete.
          sampler: of shared negatives, one of `SHARED_SAMPLERS`.
          seed: of these.

        Raises:
          ValueError: the catalogue is too small for so many negatives.
        """
        self.name = config.loss
        self.num_items = len(counts)
        self.reads_negatives = row_negatives(config) > 0
        self._calibration = config.gbce_calibration
        self._seed = seed
        self._sampler = None
        if shares_negatives(config):
            shared = config.shared_negatives or min(_SHARED_BY_DEFAULT, self.num_items // 2)
            kinds = {
                "uniform": candidate_sampling.UniformSampler,
                "popularity": candidate_sampling.PopularitySampler,
            }
            self._sampler = kinds[sampler](counts, shared)

    def of_scores(
        self, positive: tf.Tensor, negative: tf.Tensor, present: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Returns the losses float [...] of scores [...] and of negatives' [..., N].

        Args:
          positive: of the positives.
          negative: of the negatives.
          present: bool [..., N], false for what is no negative; None if all are.
        """
        if self.name == "gbce":
            return losses.calibrated_cross_entropy(
                positive, negative, self.num_items, self._calibration, present
            )
        return _PAIRWISE[self.name](positive, negative, present)

    def of_users(
        self,
        users: tf.Tensor,
        labels: tf.Tensor,
        factors: tuple[tf.Tensor, tf.Tensor | None],
        step: tf.Tensor,
        chosen_from: ItemRange | None = None,
    ) -> tf.Tensor:
        """Returns the losses of users, float32 in the shape of the labels.

        Args:
          users: float [..., channels].
          labels: int [...], the positives' ids; 0 for a row without one, whose loss is finite.
          factors: of the items, as `RankingModel.item_factors` gives them.
          step: int scalar, which decides what is drawn; the same on all replicas.
          chosen_from: int [...] both, the items that compete for each; all by default.
        """
        shape = tf.shape(labels)
        rows, ids = tf.reshape(users, (-1, users.shape[-1])), tf.reshape(labels, [-1])
        if chosen_from is not None:
            chosen_from = ItemRange(*(tf.reshape(edge, [-1]) for edge in chosen_from))
        return tf.reshape(self._of_rows(rows, ids, factors, step, chosen_from), shape)

    def _of_rows(
        self,
        users: tf.Tensor,
        labels: tf.Tensor,
        factors: tuple[tf.Tensor, tf.Tensor | None],
        step: tf.Tensor,
        chosen_from: ItemRange | None,
    ) -> tf.Tensor:
        if self._sampler is None:
            return full_softmax(users, labels, *factors, self.num_items, chosen_from)
        sample = self._sampler.draw(tf.stack([self._seed, tf.cast(step, tf.int32)]))
        present = sample.mask & (sample.ids != labels[:, tf.newaxis])
        if chosen_from is not None:
            present &= sample.ids >= chosen_from.first[:, tf.newaxis]
            present &= sample.ids <= chosen_from.last[:, tf.newaxis]
        if self.name == "sampled_softmax":
            of_labels, of_sample = (
                self._sampler.log_expected_count(ids) for ids in (labels, sample.ids)
            )
            return losses.sampled_softmax(
                users, labels, *factors, sample.ids, present, of_labels, of_sample
            )
        return self.of_scores(
            *losses.scores_of_shared(users, labels, *factors, sample.ids), present
        )
