"""Every choice that DAA offers, with the paper's symbols."""

import dataclasses

from tfcdr import field_checks

_CHOICES = {
    "backbone": ("singletask", "sharedbottom", "omoe", "mmoe", "ple", "aitm", "metaheac"),
    "critic_mixture": ("convex", "mean"),
    "adaptation": ("alternating", "gradient_reversal", "fine_tune", "target_only"),
    "critic": ("wasserstein", "released"),
    "fake_features": ("train", "eval"),
}
_POSITIVE = (
    "embedding_size",
    "experts",
    "mixture_critics",
    "meta_batches",
    "local_learning_rate",
    "source_learning_rate",
    "source_epochs",
    "critic_hidden",
    "critic_steps",
    "critic_learning_rate",
    "adapt_learning_rate",
    "adapt_epochs",
    "patience",
)
_NOT_NEGATIVE = (
    "source_l2",
    "adapt_l2",
    "gradient_penalty",
    "click_weight",
    "conversion_weight",
    "adversarial_weight",
    "reversal_ramp_steps",
)


@dataclasses.dataclass(frozen=True)
class DaaConfig:
    """Hyperparameters of both stages.

    Attributes:
      backbone: the multi-task network: "singletask", "sharedbottom", "omoe", "mmoe", "ple", "aitm"
        or "metaheac". The last trains by support and query rows, but not against critics, which
        see all rows of a batch at once.
      embedding_size: width e of a categorical value's embedding and of the numerical columns'.
      bottom_widths: layers of a bottom or an expert; with "ple" each is a level of extraction.
      tower_widths: layers of a task's tower before its logit.
      experts: experts K of a mixture; with "ple" half of them are shared and as many each task's.
      dropout: share of units that training drops behind each hidden layer.
      mixture_critics: towers C that "metaheac" mixes for each task.
      critic_mixture: how "metaheac" mixes its towers' probabilities: "convex", their sum by gate
        weights, or "mean", which divides it by C as the release does, so that no probability
        exceeds 1 / C.
      meta_batches: batches of support and query rows behind one update of "metaheac"; a training
        batch holds all of them.
      local_learning_rate: step size of the inner step of "metaheac" on the support rows.
      source_learning_rate: Adam's step size in the source stage.
      source_l2: factor of the penalty l2 * sum(w^2) / 2 over all weights, in the gradient before
        Adam's moments, in the source stage.
      source_batch_size: impressions in a batch of the source stage.
      source_epochs: most passes over the source impressions.
      adaptation: how the target model is trained. "alternating" is DAA: several steps of the
        critics, then one of the model; "gradient_reversal" updates both at once through a
        gradient-reversal layer. Baselines: "fine_tune" (from the source model, no critics) and
        "target_only" (from a random start, with the source stage's step size and penalty).
      critic: "wasserstein", or "released": ends in a log-softmax over its one output, which is
        0 whatever the features, so that the model gets no adversarial signal.
      real_weights: weights rho_1, rho_2 in a critic's loss of its own and of the other critic's
        real features. (0.5, 0.5) balances them against the fake features; (1, 1), as released,
        lets the critic's offset drift and rewards large features; (1, 0) drops the cross term.
      fake_features: whether critics see target features of batch normalisation and dropout in
        "train" mode, as released, or in "eval" mode like the source features, so that they cannot
        tell the modes apart instead of the domains.
      critic_hidden: width of a critic's two hidden layers.
      gradient_penalty: weight of a critic's gradient penalty.
      critic_steps: batches, each a step of the critics, behind one step of the model.
      critic_learning_rate: Adam's step size of the critics.
      click_weight: weight lr_c of the click loss on the target.
      conversion_weight: weight lr_ac of the conversion loss on the target.
      adversarial_weight: weight lr_e of the adversarial loss; the final lambda of gradient
        reversal.
      reversal_ramp_steps: steps over which lambda rises from 0; 0 keeps it constant.
      adapt_learning_rate: Adam's step size of the target model.
      adapt_l2: like `source_l2`, for the target model and the critics.
      adapt_batch_size: impressions of each domain in a batch of the second stage.
      adapt_epochs: most passes over the target impressions.
      patience: epochs without a better validation score after which a stage stops.
    """

    backbone: str = "mmoe"
    embedding_size: int = 128
    bottom_widths: tuple[int, ...] = (512, 256)
    tower_widths: tuple[int, ...] = (128, 64)
    experts: int = 8
    dropout: float = 0.2
    mixture_critics: int = 5
    critic_mixture: str = "convex"
    meta_batches: int = 2
    local_learning_rate: float = 2e-4
    source_learning_rate: float = 1e-3
    source_l2: float = 1e-6
    source_batch_size: int = 2048
    source_epochs: int = 50
    adaptation: str = "alternating"
    critic: str = "wasserstein"
    real_weights: tuple[float, ...] = (0.5, 0.5)
    fake_features: str = "train"
    critic_hidden: int = 64
    gradient_penalty: float = 10.0
    critic_steps: int = 5
    critic_learning_rate: float = 1e-2
    click_weight: float = 1.0
    conversion_weight: float = 1.0
    adversarial_weight: float = 1.0
    reversal_ramp_steps: int = 0
    adapt_learning_rate: float = 1e-4
    adapt_l2: float = 1e-3
    adapt_batch_size: int = 2048
    adapt_epochs: int = 50
    patience: int = 5

    def __post_init__(self) -> None:
        """Refuses values outside their range, naming the field.

        Raises:
          ValueError: a field is out of range, not among its choices, or contradicts another.
        """
        field_checks.check_choices(self, _CHOICES)
        field_checks.check_positive(self, _POSITIVE)
        field_checks.check_not_negative(self, _NOT_NEGATIVE)
        for name in ("bottom_widths", "tower_widths"):
            widths = getattr(self, name)
            if not widths or min(widths) < 1:
                raise ValueError(f"{name} must be positive. Received: {widths}.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1). Received: {self.dropout}.")
        if len(self.real_weights) != 2 or not min(self.real_weights) >= 0:
            raise ValueError(
                f"real_weights must be two numbers, at least 0. Received: {self.real_weights}."
            )
        self.check_batch_sizes(replicas=1)
        if self.backbone == "ple" and self.experts % 2:
            raise ValueError(
                "experts must be even for backbone=ple: one half is shared, the other each task's. "
                f"Received: {self.experts}."
            )

    @property
    def is_adversarial(self) -> bool:
        """Whether the target model is trained against critics."""
        return self.adaptation in ("alternating", "gradient_reversal")

    def check_batch_sizes(self, replicas: int) -> None:
        """Refuses batches of which a device would have too little.

        Args:
          replicas: devices that share a batch.

        Raises:
          ValueError: a device would have a single row, or MetaHeac no whole support and query
            parts, halves of at least two rows.
        """
        for stage, by_parts in (("source", True), ("adapt", not self.is_adversarial)):
            name = f"{stage}_batch_size"
            size, least = getattr(self, name), 2 * replicas
            if size < least:
                raise ValueError(
                    f"{name} must be at least {least}, or batch normalisation has no variance. "
                    f"Received: {size}."
                )
            parts = 2 * self.meta_batches * replicas
            if self.backbone == "metaheac" and by_parts and (size % parts or size < 2 * parts):
                raise ValueError(
                    f"{name} must be a multiple of {parts}, at least {2 * parts}, for "
                    f"backbone=metaheac with meta_batches={self.meta_batches} on {replicas} "
                    f"device{'s' if replicas > 1 else ''}. Received: {size}."
                )

    @property
    def starts_from_source(self) -> bool:
        """Whether the target model starts from a source model."""
        return self.adaptation != "target_only"
