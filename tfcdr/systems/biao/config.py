"""Every choice that BIAO offers, with the symbols of its SPEC."""

import dataclasses

from tfcdr import field_checks

_CHOICES = {
    "backbone": ("conet", "minet"),
    "source_loss": ("weighted", "uniform", "none"),
    "importance_gradient": ("perceptron", "released"),
    "padding": ("masked", "attended"),
    "normalisation": ("sigmoid", "softmax"),
    "softmax_rows": ("with_effect", "all"),
    "decayed": ("weights", "all"),
    "prior_gate": ("softplus", "relu"),
    "evaluation_source": ("latest", "drawn"),
    "importance_optimizer": ("sgd", "adam"),
    "table_update": ("all_rows", "touched_rows"),
}
_POSITIVE = (
    "embedding_size",
    "embedding_scale",
    "attention_heads",
    "learning_rate",
    "importance_learning_rate",
    "neumann_step",
    "clip_norm",
    "developing_batch_size",
    "interval",
    "batch_size",
    "epochs",
    "patience",
)
_NOT_NEGATIVE = (
    "prior_weight",
    "importance_decay",
    "neumann_terms",
    "descent_steps",
    "outer_batch_size",
    "warm_up_epochs",
    "l2",
)


@dataclasses.dataclass(frozen=True)
class BiaoConfig:
    """Hyperparameters.

    Attributes:
      backbone: the network whose source loss is weighted: "conet", towers of both domains with
        cross units between them; "minet", whose target tower attends to both histories.
      embedding_size: width e of an embedding of a user, an item or a category.
      embedding_scale: standard deviation of the embeddings at first; 1 as released.
      hidden_widths: widths d_1, d_2, ... of the towers' layers.
      source_loss: what the source behaviours' losses add to the target's: "weighted" by the
        perceptron, which is BIAO; "uniform", their mean; "none": the target alone, which reads
        nothing of the sources.
      prior_weight: factor lambda of the source loss.
      evaluation_source: the source behaviour that goes with a held-out example: the "latest", or
        one "drawn" among all, as released, but the same in every epoch.
      attention_heads: heads of the perceptron's attention.
      padding: whether the perceptron's attention leaves padding out and averages over a history's
        own length ("masked"), or attends to padding and divides by the padded length ("attended",
        as released).
      softmax_rows: which rows of a batch share its weight: those "with_effect", or "all", as
        released, where rows without a source behaviour take shares that are lost.
      normalisation: how a batch's scores become shares of its weight: "sigmoid", each score's
        divided by their sum, so that no row has more than twice what one of score 0 has; or
        "softmax", as released, under which few rows soon have everything.
      prior_gate: what makes a weight of the domain prior: "softplus", or "relu" as released, from
        behind which a prior that has become negative never returns.
      importance_gradient: what a gradient by the model's parameters sees of the weights.
        "perceptron": nothing, they are the perceptron's alone; "released": also the way through
        the source item's embedding, so that the model lowers its loss by weighing rows.
      warm_up_epochs: epochs before the first outer step.
      interval: steps of the model between two outer steps.
      descent_steps: batches of the replacement head's descent in an outer step; 0 leaves the head
        as it starts.
      developing_batch_size: rows of these batches, and of the outer step's validation loss.
      outer_batch_size: rows of the training batch whose weights an outer step judges; 0, as
        released, for as many as `batch_size`. What one row says is mostly noise: many rows tell
        sources apart that few do not.
      neumann_terms: K, terms behind the first of the truncated series of the inverse Hessian.
      neumann_step: step size eta of that series.
      clip_norm: greatest norm of the hypergradient.
      importance_optimizer: what moves the perceptron: "sgd", as released, or "adam", under which
        the domain prior, whose gradient is by far the greatest, does not run ahead of the rest.
      importance_learning_rate: step size of the perceptron.
      importance_decay: weight decay of the perceptron, behind the clipping.
      decayed: what decays: "weights", its kernels; or "all", as released: biases and the domain
        prior, too, which the decay drives to 0, where it stays.
      learning_rate: Adam's step size of the model and, along a cosine, of the replacement head.
      l2: factor of the penalty l2 * sum(w^2) / 2 over the model's parameters, in the gradient
        before Adam's moments; 0 as released.
      table_update: whether a step of the model moves "all_rows" of its tables, as Adam in the
        release does, or only the "touched_rows" that the batch has read.
      batch_size: rows of a training batch.
      epochs: most passes over the target's training rows.
      patience: epochs without a better validation score after which training stops.
    """

    backbone: str = "conet"
    embedding_size: int = 10
    embedding_scale: float = 1.0
    hidden_widths: tuple[int, ...] = (64, 32, 16, 8)
    source_loss: str = "weighted"
    prior_weight: float = 1.0
    evaluation_source: str = "latest"
    attention_heads: int = 4
    padding: str = "masked"
    softmax_rows: str = "with_effect"
    normalisation: str = "sigmoid"
    prior_gate: str = "softplus"
    importance_gradient: str = "perceptron"
    warm_up_epochs: int = 0
    interval: int = 100
    descent_steps: int = 100
    developing_batch_size: int = 256
    outer_batch_size: int = 0
    neumann_terms: int = 3
    neumann_step: float = 1.0
    clip_norm: float = 10.0
    importance_optimizer: str = "sgd"
    importance_learning_rate: float = 1e-2
    importance_decay: float = 2.0
    decayed: str = "weights"
    learning_rate: float = 1e-2
    l2: float = 0.0
    table_update: str = "all_rows"
    batch_size: int = 64
    epochs: int = 5
    patience: int = 5

    def __post_init__(self) -> None:
        """Refuses values outside their range, naming the field.

        Raises:
          ValueError: a field is out of range, or not among its choices.
        """
        field_checks.check_choices(self, _CHOICES)
        field_checks.check_positive(self, _POSITIVE)
        field_checks.check_not_negative(self, _NOT_NEGATIVE)
        if not self.hidden_widths or min(self.hidden_widths) < 1:
            raise ValueError(f"hidden_widths must be positive. Received: {self.hidden_widths}.")

    @property
    def reads_sources(self) -> bool:
        """Whether the model reads source behaviours."""
        return self.source_loss != "none"

    @property
    def learns_weights(self) -> bool:
        """Whether a perceptron weighs them."""
        return self.source_loss == "weighted"
