"""Every choice that PeterRec offers, with the paper's symbols."""

import dataclasses

from tfcdr import field_checks
from tfcdr.optimizers import TABLE_UPDATES
from tfcdr.ranking import item_loss

_CHOICES = {
    "stages": ("all", "pretrain"),
    "history_domains": ("source", "all", "target"),
    "user_position": ("cls", "last_item"),
    "target_table": ("own", "histories"),
    "target_start": ("independent", "pretrained"),
    "initialization": ("independent", "released"),
    "pretrain_loss": ("sampled_softmax", "full_softmax"),
    "sampler": ("log_uniform", "popularity"),
    "adaptation": ("adapters", "fine_tune_all", "last_layer", "from_scratch", "no_pretraining"),
    "insertion": ("serial", "parallel", "serial_single"),
    "negative_sampler": ("uniform", "popularity", "lambdafm"),
    "negatives_exclude": ("seen", "positive"),
    "table_update": TABLE_UPDATES,
}
_POSITIVE = (
    "channels",
    "kernel_size",
    "max_masked",
    "pretrain_learning_rate",
    "pretrain_batch_size",
    "pretrain_epochs",
    "cardinality",
    "negatives",
    "lambdafm_rho",
    "finetune_learning_rate",
    "finetune_batch_size",
    "finetune_epochs",
    "patience",
)


@dataclasses.dataclass(frozen=True)
class PeterRecConfig:
    """Hyperparameters of both stages.

    Attributes:
      stages: "all", or "pretrain" to stop before fine-tuning, for data without a target.
      history_domains: items that both stages read: of the "source" domains, as in the paper and for
        users who are new in the target, of "all", the user's earlier target items among them, or of
        the "target" alone, which is not pre-trained and transfers nothing.
      own_share: share of a history's places in fine-tuning that is kept for the target's own items,
        with history_domains=all: so many of the latest at least. 0 keeps what is latest.
      channels: width C of the item embedding and of every convolution; 256 in the paper, 64
        suggested by its authors.
      dilations: first dilation d of each residual block; its second convolution uses 2d.
      kernel_size: taps k of every dilated convolution.
      causal: true for NextItNet (next-item pre-training), false for the encoder of GRec
        (masked-item pre-training).
      position_embedding: adds a learned vector for each position to the item embedding.
      initialization: "independent" draws every weight anew; "released" repeats the release, in
        which weights of equal shape start identical.
      pretrain_loss: "sampled_softmax" (on the hidden state) or "full_softmax" (on its relu).
      sampled_share: share of the source catalogue that sampled softmax draws for each batch.
      sampler: distribution of sampled softmax, "log_uniform" over frequency ranks or
        "popularity" (training counts).
      loss_on_padding: counts padding labels in the causal pre-training loss, as the release does;
        meant for the full softmax, since sampled softmax never draws padding as a negative.
      mask_share: share of a history's items that masked pre-training hides.
      max_masked: most items of one history that masked pre-training hides.
      pretrain_learning_rate: Adam's step size while pre-training.
      pretrain_batch_size: source windows in a batch.
      pretrain_epochs: most passes over the source windows.
      adaptation: what fine-tuning trains. "adapters" is PeterRec: adapters, second layer norms
        and target embedding. Baselines of the paper: "fine_tune_all" (everything, no adapters),
        "last_layer" (target embedding alone), "from_scratch" (everything, random start),
        "no_pretraining" (adapters on a random, frozen trunk).
      insertion: where adapters stand: "serial" or "parallel" (two in a block), "serial_single"
        (one in a block).
      cardinality: branches c of an adapter; each has width C / (4c).
      adapter_zero_start: starts the adapters' up-projections at zero, so that a serial adapter
        is the identity at first.
      user_position: where fine-tuning reads the user: at a "cls" token behind the history, as in
        the paper, or at its "last_item", whose vector then reaches the user past all convolutions;
        needs causal.
      target_table: the vectors W_t of the items that are predicted: a table of their "own", as in
        the paper, or that of "histories", by which the user's earlier target items are read. On
        sparse data the second has far fewer weights to learn; histories must hold target items, and
        fine-tuning train what reads them, by table_update=all_rows.
      target_start: where the target table W_t starts: "independent" of pre-training, as in the
        paper, or "pretrained", from the output vectors of the target's items, which pre-training
        has with history_domains=all.
      loss: of fine-tuning, one of `tfcdr.ranking.item_loss`: the paper's are "bce" (pairwise
        cross-entropy), "bpr", and "softmax" (classifier over all targets, for user-profile
        prediction).
      negatives: negatives drawn for each positive in "bce", "gbce", "bpr" and "bpr_softmax".
      shared_negatives: negatives that all rows of a batch share, in place of each row's own; 0 for
        none. sampled_softmax, which must share, takes 1,000 where this is 0.
      gbce_calibration: t of loss=gbce, 0 for plain cross-entropy, 1 for full calibration.
      negative_sampler: "uniform", "popularity" or "lambdafm" (rank-based, favours the popular, for
        each row alone).
      lambdafm_rho: decay rho of LambdaFM's rank distribution; smaller draws more popular items.
      negatives_exclude: "seen" never draws a training item of the user; "positive" avoids only
        the example's own positive, as the release does.
      l2: factor of the penalty l2 * sum(W_t^2) / 2 over the whole target table; with
        table_update=touched_rows over the rows that an example reads, averaged over examples.
      table_update: what a step does to rows of the item tables that it did not read. "all_rows":
        they move on with Adam's momentum, as in the release; a step costs the whole table.
        "touched_rows": they rest; for catalogues beyond some ten thousand items, where the full
        table would cost more than the network. A full softmax touches every row.
      finetune_dropout: share of units that fine-tuning drops, of the items that it reads and of
        user vectors; the paper drops none.
      finetune_learning_rate: Adam's step size while fine-tuning.
      finetune_batch_size: (history, target item) pairs in a batch.
      finetune_epochs: most passes over these pairs.
      patience: epochs without a better validation score after which a stage stops.
    """

    stages: str = "all"
    history_domains: str = "source"
    own_share: float = 0.0
    channels: int = 64
    dilations: tuple[int, ...] = (1, 4, 1, 4, 1, 4, 1, 4)
    kernel_size: int = 3
    causal: bool = True
    position_embedding: bool = False
    initialization: str = "independent"
    pretrain_loss: str = "sampled_softmax"
    sampled_share: float = 0.2
    sampler: str = "log_uniform"
    loss_on_padding: bool = False
    mask_share: float = 0.3
    max_masked: int = 30
    pretrain_learning_rate: float = 1e-3
    pretrain_batch_size: int = 128
    pretrain_epochs: int = 20
    adaptation: str = "adapters"
    insertion: str = "serial"
    cardinality: int = 1
    adapter_zero_start: bool = False
    user_position: str = "cls"
    target_table: str = "own"
    target_start: str = "independent"
    loss: str = "bce"
    negatives: int = 1
    shared_negatives: int = 0
    gbce_calibration: float = 0.75
    negative_sampler: str = "uniform"
    lambdafm_rho: float = 0.3
    negatives_exclude: str = "seen"
    l2: float = 0.02
    table_update: str = "all_rows"
    finetune_dropout: float = 0.0
    finetune_learning_rate: float = 1e-3
    finetune_batch_size: int = 512
    finetune_epochs: int = 20
    patience: int = 5

    def __post_init__(self) -> None:
        """Refuses values outside their range, naming the field.

        Raises:
          ValueError: a field is out of range or not among its choices.
        """
        field_checks.check_choices(self, _CHOICES)
        field_checks.check_positive(self, _POSITIVE)
        if not self.dilations or min(self.dilations) < 1:
            raise ValueError(f"dilations must be positive. Received: {self.dilations}.")
        for name in ("sampled_share", "mask_share"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in (0, 1]. Received: {getattr(self, name)}.")
        field_checks.check_not_negative(self, ("l2",))
        item_loss.check_fields(self, self.negative_sampler)
        if not 0 <= self.own_share <= 1:
            raise ValueError(f"own_share must be in [0, 1]. Received: {self.own_share}.")
        if self.history_domains != "all" and self.own_share:
            raise ValueError(
                f"own_share must be 0 for history_domains={self.history_domains}, where all items "
                f"are of one kind. Received: {self.own_share}."
            )
        if self.history_domains == "target" and (self.is_pretrained or self.stages == "pretrain"):
            raise ValueError(
                "history_domains=target is not pre-trained: it needs stages=all and "
                "adaptation=from_scratch or no_pretraining. Received: "
                f"adaptation={self.adaptation}."
            )
        if not 0 <= self.finetune_dropout < 1:
            raise ValueError(
                f"finetune_dropout must be in [0, 1). Received: {self.finetune_dropout}."
            )
        if self.user_position == "last_item" and not self.causal:
            raise ValueError(
                "user_position=last_item needs causal=true: the encoder is read at both ends. "
                "Received: causal=False."
            )
        if self.target_table == "histories" and (
            self.history_domains == "source"
            or self.adaptation not in ("fine_tune_all", "from_scratch")
        ):
            raise ValueError(
                "target_table=histories needs history_domains=all or target, or no history holds "
                "target items, and adaptation=fine_tune_all or from_scratch, or nothing trains "
                f"their vectors. Received: history_domains={self.history_domains}, "
                f"adaptation={self.adaptation}."
            )
        if self.target_table == "histories" and self.table_update == "touched_rows":
            raise ValueError(
                "target_table=histories needs table_update=all_rows: what is predicted is a part "
                "of the table, which moves as a whole."
            )
        if self.target_table == "histories" and self.target_start == "pretrained":
            raise ValueError(
                "target_start=pretrained starts a table of the target's own: it needs "
                "target_table=own."
            )
        if self.target_start == "pretrained" and not (
            self.history_domains == "all" and self.is_pretrained
        ):
            raise ValueError(
                "target_start=pretrained needs history_domains=all and an adaptation that is "
                "pre-trained, or there are no pre-trained vectors of target items. Received: "
                f"history_domains={self.history_domains}, adaptation={self.adaptation}."
            )
        if self.has_adapters and self.channels % (4 * self.cardinality):
            raise ValueError(
                "channels must be a multiple of 4 * cardinality, or the adapters' width C / (4c) "
                f"is not whole. Received: channels={self.channels}, cardinality={self.cardinality}."
            )

    @property
    def has_adapters(self) -> bool:
        """Whether the fine-tuned network holds adapters."""
        return self.adaptation in ("adapters", "no_pretraining")

    @property
    def history_space(self) -> str:
        """The item space of histories."""
        return "joint" if self.history_domains == "all" else self.history_domains

    @property
    def is_pretrained(self) -> bool:
        """Whether fine-tuning starts from a pre-trained trunk."""
        return self.adaptation not in ("from_scratch", "no_pretraining")
