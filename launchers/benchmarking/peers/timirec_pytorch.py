"""The contender "pytorch" of TiMiRec: both of its stages as one writes them in PyTorch.

The work of a step is that of the release: the same layers, loss, dropout and dense Adam with its
penalty, on batches in memory. Needs PyTorch, in this or in another environment (`--peer_python`).
"""

from __future__ import annotations  # PyTorch is imported late.

import itertools
from typing import TYPE_CHECKING, Any

# Runs as a script, because the packages around it import TensorFlow.
from child_process import Workload, serve
from pytorch_step import import_torch, step_workload

if TYPE_CHECKING:
    from torch import Tensor


def set_up(settings: dict[str, Any]) -> Workload:
    """Builds the stage and makes one step.

    Args:
      settings: "stage", "config" (fields of `TiMiRecConfig`), "rows" of the item table, "items"
        that are ranked, "length", "batch_size".

    Raises:
      Refusal: PyTorch cannot be imported.
    """
    torch = import_torch()
    from torch import nn
    from torch.nn import functional

    torch.manual_seed(0)
    config, stage, length = settings["config"], settings["stage"], settings["length"]
    size, batch = config["embedding_size"], settings["batch_size"]

    class InterestExtractor(nn.Module):
        """TiMiRec SPEC section 2."""

        def __init__(self) -> None:
            super().__init__()
            self.items = nn.Embedding(settings["rows"], size)
            self.positions = nn.Embedding(length + 1, size)
            self.queries, self.keys, self.values = (nn.Linear(size, size) for _ in range(3))
            self.norm1, self.norm2 = nn.LayerNorm(size), nn.LayerNorm(size)
            self.inner, self.outer = nn.Linear(size, size), nn.Linear(size, size)
            self.hidden = nn.Linear(size, config["attention_size"])
            self.interests = nn.Linear(config["attention_size"], config["interests"])

        def forward(self, history: Tensor, lengths: Tensor) -> Tensor:
            valid = history > 0
            items = self.items(history)
            if config["position_embedding"]:
                ages = lengths.to(history.device)[:, None] - torch.arange(history.shape[1])
                places = ages * valid
                items = items + self.positions(places)
            if config["transformer_layer"]:
                scores = self.queries(items) @ self.keys(items).transpose(1, 2) / size**0.5
                scores = scores.masked_fill(~valid[:, None], float("-inf"))
                context = self.norm1(scores.softmax(-1) @ self.values(items) + items)
                inner = self.outer(self.inner(context).relu())
                items = self.norm2(inner + context) * valid[..., None]
            scores = self.interests(self.hidden(items).tanh())
            scores = scores.masked_fill(~valid[..., None], float("-inf"))
            return scores.softmax(1).transpose(1, 2) @ items

    class InterestPredictor(nn.Module):
        """TiMiRec SPEC section 3."""

        def __init__(self) -> None:
            super().__init__()
            self.items = nn.Embedding(settings["rows"] + 1, size)
            self.recurrent = nn.GRU(size, size, batch_first=True)
            layers = []
            for _ in range(config["layers"] - 1):
                dropout = nn.Dropout(config["projection_dropout"])
                layers += [nn.Linear(size, size), dropout, nn.ReLU()]
            self.projection = nn.Sequential(*layers, nn.Linear(size, config["interests"]))

        def forward(self, history: Tensor, lengths: Tensor) -> Tensor:
            packed = nn.utils.rnn.pack_padded_sequence(
                self.items(history), lengths, batch_first=True, enforce_sorted=False
            )
            return self.projection(self.recurrent(packed)[1][0])

    extractor = InterestExtractor()
    modules = nn.ModuleDict({"extractor": extractor})
    if stage == "finetune":
        modules["predictor"] = InterestPredictor()

    def loss_of(history: Tensor, lengths: Tensor, ids: Tensor) -> Tensor:
        interests, items = extractor(history, lengths), extractor.items(ids)
        target = items[:, 0]
        if stage == "pretrain":
            nearest = (interests @ target[..., None]).squeeze(-1).argmax(1)
            user = interests[torch.arange(len(ids)), nearest]
        else:
            logits = modules["predictor"](history, lengths)
            user = (logits.softmax(-1)[..., None] * interests).sum(1)
        scores = (user[:, None] * items).sum(-1)
        positive, negatives = scores[:, :1], scores[:, 1:]
        weights = negatives.softmax(1)
        loss = -((positive - negatives).sigmoid() * weights).sum(1).log().mean()
        if stage == "finetune":
            temperature = config["temperature"]
            nearness = functional.cosine_similarity(interests, target[:, None], dim=-1).detach()
            predicted = (logits / temperature).log_softmax(-1)
            taught = (nearness / temperature).softmax(-1)
            distance = functional.kl_div(predicted, taught, reduction="batchmean")
            loss = loss + temperature**2 * distance
        return loss

    biases = [weight for name, weight in modules.named_parameters() if "bias" in name]
    others = [weight for name, weight in modules.named_parameters() if "bias" not in name]
    groups = [{"params": others, "weight_decay": config["l2"]}, {"params": biases}]
    optimizer = torch.optim.Adam(groups, lr=config[f"{stage}_learning_rate"])
    batches = itertools.cycle(
        [
            (
                torch.randint(1, settings["rows"], (batch, length)),
                torch.full((batch,), length, device="cpu"),  # as packing wants them
                torch.randint(1, settings["items"] + 1, (batch, 1 + config["negatives"])),
            )
            for _ in range(16)
        ]
    )

    def step() -> None:
        optimizer.zero_grad()
        loss_of(*next(batches)).backward()
        optimizer.step()

    return step_workload(step, modules, batch)


if __name__ == "__main__":
    serve(set_up)
