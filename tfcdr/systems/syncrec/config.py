"""Every choice that SyNCRec offers, with the paper's and the release's symbols."""

import dataclasses
import math

from tfcdr import field_checks
from tfcdr.optimizers import TABLE_UPDATES
from tfcdr.ranking import item_loss

_CHOICES = {
    "training": ("joint", "single_domain"),
    "modules": ("independent", "released"),
    "expert_layer": ("transformer", "ffn"),
    "cross_expert_rounding": ("nearest", "truncated"),
    "cross_gate_in_training": ("cross", "last_domain"),
    "blanked_positions": ("attended", "masked"),
    "loss_weighting": ("rebalanced", "uniform", "cross_only"),
    "loss_reduction": ("mean", "sum"),
    "mutual_information_negatives": ("shifted", "permuted"),
    "negative_domains": ("own", "all"),
    "candidate_domains": ("own", "all"),
    "table_update": TABLE_UPDATES,
}
_POSITIVE = (
    "hidden_size",
    "layers",
    "heads",
    "rebalancing_temperature",
    "negatives",
    "learning_rate",
    "batch_size",
    "epochs",
    "patience",
)


@dataclasses.dataclass(frozen=True)
class SyncRecConfig:
    """Hyperparameters of the model and of its training.

    Attributes:
      training: "joint": all domains together. "single_domain": a plain encoder for each domain,
        none of whose weights another domain trains and which reads that domain's items alone; what
        `--compare_no_transfer` compares with.
      hidden_size: width H of embeddings and of hidden states.
      layers: encoder layers of an expert (transformer), or attention blocks below all experts
        (ffn).
      heads: attention heads; they share H equally.
      experts: E, single and cross experts together.
      cross_expert_ratio: rho, the share of the experts that are cross experts, and of a task's gate
        that is its own group's.
      cross_expert_rounding: how rho E becomes a number C: "nearest", or "truncated" as in the
        release, where 0.57 of 100 are 56.
      expert_layer: "transformer", or "ffn": a feed-forward block on top of attention that all
        experts share.
      modules: "independent": experts, gates and towers have weights of their own, as in the paper.
        "released": one expert, one gate and one tower stand for all, as in the release.
      single_stop_gradient: whether single-domain tasks leave the cross experts as they are
        (single_detach).
      cross_stop_gradient: whether the cross-domain task leaves the single experts as they are
        (cross_detach). Without both of these, gates are plain softmaxes over all experts.
      cross_gate_in_training: the gate of the cross-domain task in training: "cross", or
        "last_domain", that of the last single-domain task, as in the release for ffn.
      blanked_positions: what a single-domain task sees where other domains' items are: "masked",
        nothing, so that all these tasks together cost little more than one; "attended", padding
        that it attends to, as in the release.
      hidden_dropout: share of embeddings and of block outputs that training drops.
      attention_dropout: share of attention weights that training drops.
      loss_weighting: "rebalanced": the cross-domain loss of each domain is weighted by measured
        negative transfer (lrb = y). "uniform": all domains alike. "cross_only": the cross-domain
        loss alone, without single-domain losses, as in the release without re-balancing (lrb = n).
      rebalancing_decay: alpha, how much of the last step's delta remains.
      rebalancing_rate: beta, the weight of a step's loss difference.
      rebalancing_temperature: of the softmax over deltas; smaller tells domains apart more, and at
        0.2 feeds back: a domain that weighs less learns less, so that it seems to lose by the
        others, and weighs yet less. The release has 1.
      loss_reduction: "mean" over the batch's targets, or "sum" divided by 1,000 as in the release,
        which grows with batch and length (and is not divided for cross_only).
      mutual_information: whether the representations of both tasks are tied together (mip).
      mutual_information_negatives: whose items are compared with: those of the row before
        ("shifted"), or of a random row, perhaps the same ("permuted"), as in the release.
      loss: of both kinds of task, one of `tfcdr.ranking.item_loss`; the paper's is "bce".
      negatives: items N drawn for each position.
      shared_negatives: items that all positions of a batch share, drawn uniformly from all domains,
        in place of N of each position's own; 0 for none. sampled_softmax, which must share, takes
        1,000 where this is 0.
      gbce_calibration: t of loss=gbce, 0 for plain cross-entropy, 1 for full calibration.
      negative_domains: where negatives are: in the target's "own" domain, or in "all" domains as in
        the release. It also says among which items a softmax chooses.
      candidate_domains: the same for the candidates of sampled evaluation; "all" makes it easier.
        The full catalogue is that of the answer's domain in any case.
      table_update: what a step does to rows of the item table that it did not read: "all_rows"
        move on with momentum, as in the release; "touched_rows" rest, for catalogues beyond some
        ten thousand items.
      learning_rate: Adam's step size.
      batch_size: users in a batch.
      epochs: most passes over the users.
      patience: epochs without a better validation score after which training stops.
    """

    training: str = "joint"
    hidden_size: int = 64
    layers: int = 2
    heads: int = 1
    experts: int = 5
    cross_expert_ratio: float = 0.8
    cross_expert_rounding: str = "nearest"
    expert_layer: str = "transformer"
    modules: str = "independent"
    single_stop_gradient: bool = True
    cross_stop_gradient: bool = True
    cross_gate_in_training: str = "cross"
    blanked_positions: str = "masked"
    hidden_dropout: float = 0.2
    attention_dropout: float = 0.2
    loss_weighting: str = "rebalanced"
    rebalancing_decay: float = 0.5
    rebalancing_rate: float = 0.5
    rebalancing_temperature: float = 0.5
    loss_reduction: str = "mean"
    mutual_information: bool = True
    mutual_information_negatives: str = "shifted"
    loss: str = "bce"
    negatives: int = 1
    shared_negatives: int = 0
    gbce_calibration: float = 0.75
    negative_domains: str = "own"
    candidate_domains: str = "own"
    table_update: str = "all_rows"
    learning_rate: float = 1e-3
    batch_size: int = 128
    epochs: int = 200
    patience: int = 10

    def __post_init__(self) -> None:
        """Refuses values outside their range, naming the field.

        Raises:
          ValueError: a field is out of range, not among its choices, or contradicts another.
        """
        field_checks.check_choices(self, _CHOICES)
        field_checks.check_positive(self, _POSITIVE)
        item_loss.check_fields(self)
        for name in ("hidden_dropout", "attention_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1). Received: {getattr(self, name)}.")
        if self.hidden_size % self.heads:
            raise ValueError(
                f"hidden_size must be a multiple of heads={self.heads}. "
                f"Received: {self.hidden_size}."
            )
        if self.experts < 2:
            raise ValueError(f"experts must be at least 2. Received: {self.experts}.")
        if not 0 < self.cross_expert_ratio < 1 or not 0 < self.cross_experts < self.experts:
            raise ValueError(
                "cross_expert_ratio must leave at least one single and one cross expert of "
                f"{self.experts}. Received: {self.cross_expert_ratio}."
            )
        for name in ("rebalancing_decay", "rebalancing_rate"):
            # The release draws them at random, below zero, too.
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name} must be finite. Received: {getattr(self, name)}.")

    @property
    def cross_experts(self) -> int:
        """C, the number of cross experts."""
        number = self.experts * self.cross_expert_ratio
        return int(number) if self.cross_expert_rounding == "truncated" else round(number)

    @property
    def single_experts(self) -> int:
        """S, the number of single experts."""
        return self.experts - self.cross_experts

    @property
    def has_partitioned_gates(self) -> bool:
        """Whether gates divide their weight between the two groups of experts."""
        return self.single_stop_gradient or self.cross_stop_gradient
