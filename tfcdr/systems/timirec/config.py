"""Every choice that TiMiRec offers, with the paper's symbols."""

import dataclasses

from tfcdr import field_checks
from tfcdr.optimizers import TABLE_UPDATES
from tfcdr.ranking import item_loss

_CHOICES = {
    "variant": ("timirec", "comirec"),
    "stages": ("all", "pretrain"),
    "blend_neighbours": ("none", "cosine", "ease", "both"),
    "history_domains": ("all", "target"),
    "cold_history": ("held_out", "sources"),
    "untrained_items": ("read", "skipped"),
    "negative_sampler": ("uniform", "popularity", "lambdafm"),
    "negatives_exclude": ("seen", "positive"),
    "table_update": TABLE_UPDATES,
}
_POSITIVE = (
    "embedding_size",
    "attention_size",
    "interests",
    "layers",
    "ensemble_members",
    "temperature",
    "negatives",
    "lambdafm_rho",
    "pretrain_learning_rate",
    "pretrain_batch_size",
    "pretrain_epochs",
    "finetune_learning_rate",
    "finetune_batch_size",
    "finetune_epochs",
    "patience",
)


@dataclasses.dataclass(frozen=True)
class TiMiRecConfig:
    """Hyperparameters of both stages.

    Attributes:
      variant: "timirec", or "comirec": the extractor alone, without a transformer layer, whose
        interests are sums of item embeddings without positions; it has no second stage.
      stages: "all" of the variant's stages, or "pretrain" to stop after the extractor. TiMiRec's
        pre-trained extractor with a transformer layer is the paper's ComiRec+.
      from_scratch: trains the second stage alone, from a random start.
      blend_neighbours: "cosine", "ease" (for at most 25,000 items or as many users) or "both" adds
        a last stage, which blends the model of the last trained stage with item neighbours of that
        kind, as strongly as validation chooses; see `tfcdr.ranking.neighbours.blend`.
      ensemble_members: seeds whose trained models are blended, by the mean of their scores; those
        of a run with as many seeds that was there before (`--pretrained`).
      history_domains: items of a history: "all" domains' or the "target" domain's alone.
      own_share: share of a history's places that is kept for the target's own items, with
        history_domains=all: so many of the latest at least, however many items of other domains
        came after them. 0 keeps what is latest, as in a single log.
      cold_history: what is read of a test user without training interactions in the target: what
        he did elsewhere and the "held_out" ones before the label, as of anybody, or the "sources"
        alone, for users who are new in the target.
      untrained_items: what becomes of a history's items without training interactions, such as
        those that came when the test began: "read", by vectors that are still as they were drawn,
        as in the release; or "skipped", as if they were unknown.
      embedding_size: width d of item embeddings and interests.
      attention_size: width a of the attention that forms the interests.
      interests: interest vectors K of a user.
      position_embedding: adds a learned vector for each position, counted from the newest item.
      transformer_layer: reads the history by one transformer layer before forming interests.
      layers: linear layers between the predictor's state and the interest weights.
      extractor_dropout: share of units that training drops of the extractor's embeddings and of
        what each half of its transformer layer adds; the paper drops none.
      projection_dropout: share of units that training drops between these layers.
      temperature: tau of the distillation; smaller sharpens both distributions.
      loss: of the ranking, one of `tfcdr.ranking.item_loss`; the paper's is "bpr_softmax".
        "softmax" compares with all items, "sampled_softmax" with a sample that a batch shares.
      negatives: negatives N drawn for each positive.
      shared_negatives: negatives that all rows of a batch share, in place of N of each row's own;
        0 for none. sampled_softmax, which must share, takes 1,000 where this is 0.
      gbce_calibration: t of loss=gbce, 0 for plain cross-entropy, 1 for full calibration.
      negative_sampler: "uniform", "popularity" or "lambdafm" (rank-based, favours the popular,
        for each row alone).
      lambdafm_rho: decay rho of LambdaFM's rank distribution; smaller draws more popular items.
      negatives_exclude: "seen" never draws a training item of the user; "positive" avoids only
        the example's own positive.
      l2: factor of the penalty l2 * sum(w^2) / 2 over all weights but biases, in the gradient
        before Adam's moments; see `optimizers.pytorch_adam`.
      table_update: what a step does to rows of the item tables that it did not read. "all_rows":
        they move on with momentum and penalty, as in the release. "touched_rows": they rest; for
        catalogues beyond some ten thousand items.
      pretrain_learning_rate: Adam's step size while pre-training.
      pretrain_batch_size: (history, target item) pairs in a batch.
      pretrain_epochs: most passes over these pairs.
      finetune_learning_rate: Adam's step size while fine-tuning.
      finetune_batch_size: pairs in a batch.
      finetune_epochs: most passes over these pairs.
      patience: epochs without a better validation score after which a stage stops.
    """

    variant: str = "timirec"
    stages: str = "all"
    from_scratch: bool = False
    blend_neighbours: str = "none"
    ensemble_members: int = 1
    history_domains: str = "all"
    own_share: float = 0.0
    cold_history: str = "held_out"
    untrained_items: str = "read"
    embedding_size: int = 64
    attention_size: int = 8
    interests: int = 2
    position_embedding: bool = True
    transformer_layer: bool = True
    extractor_dropout: float = 0.0
    layers: int = 1
    projection_dropout: float = 0.5
    temperature: float = 1.0
    loss: str = "bpr_softmax"
    negatives: int = 1
    shared_negatives: int = 0
    gbce_calibration: float = 0.75
    negative_sampler: str = "uniform"
    lambdafm_rho: float = 0.3
    negatives_exclude: str = "seen"
    l2: float = 0.0
    table_update: str = "all_rows"
    pretrain_learning_rate: float = 1e-3
    pretrain_batch_size: int = 256
    pretrain_epochs: int = 200
    finetune_learning_rate: float = 1e-3
    finetune_batch_size: int = 256
    finetune_epochs: int = 200
    patience: int = 20

    def __post_init__(self) -> None:
        """Refuses values outside their range, naming the field.

        Raises:
          ValueError: a field is out of range, not among its choices, or contradicts another.
        """
        field_checks.check_choices(self, _CHOICES)
        field_checks.check_positive(self, _POSITIVE)
        for name in ("projection_dropout", "extractor_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1). Received: {getattr(self, name)}.")
        if not 0 <= self.own_share <= 1:
            raise ValueError(f"own_share must be in [0, 1]. Received: {self.own_share}.")
        if self.own_share and self.history_domains != "all":
            raise ValueError(
                "own_share must be 0 for history_domains=target, whose items are all the target's "
                f"own. Received: {self.own_share}."
            )
        item_loss.check_fields(self, self.negative_sampler)
        field_checks.check_not_negative(self, ("l2",))
        if self.variant == "comirec" and self.transformer_layer:
            raise ValueError(
                "transformer_layer must be false for variant=comirec; ComiRec with a transformer "
                "layer is variant=timirec with stages=pretrain. Received: True."
            )
        if self.ensemble_members > 1 and not self.blended_kinds:
            raise ValueError(
                "ensemble_members must be 1 with blend_neighbours=none, for it is the blend that "
                f"takes the models of several seeds. Received: {self.ensemble_members}."
            )
        if self.from_scratch and not self.has_finetuning:
            raise ValueError(
                "from_scratch must be false where there is no second stage to start. Received: "
                f"True, with variant={self.variant}, stages={self.stages}."
            )

    @property
    def blended_kinds(self) -> tuple[str, ...]:
        """Kinds of item neighbours with which a last stage blends the trained model."""
        kinds = {"none": (), "both": ("cosine", "ease")}
        return kinds.get(self.blend_neighbours, (self.blend_neighbours,))

    @property
    def has_finetuning(self) -> bool:
        """Whether a second stage weights the interests."""
        return self.variant == "timirec" and self.stages == "all"
