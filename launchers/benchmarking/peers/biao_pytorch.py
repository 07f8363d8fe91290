"""The contender "pytorch" of BIAO: plain CoNet as one writes it in PyTorch.

The work of a step is that of the release without weights: both towers, the mean of both domains'
losses, dense Adam over whole tables, on batches in memory. Needs PyTorch, in this or in another
environment (`--peer_python`).
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
    """Builds the network and makes one step.

    Args:
      settings: "config" (fields of `BiaoConfig`), "users", "items" and "categories" of either
        domain.

    Raises:
      Refusal: PyTorch cannot be imported.
    """
    torch = import_torch()
    from torch import nn
    from torch.nn import functional

    torch.manual_seed(0)
    config, batch = settings["config"], settings["config"]["batch_size"]
    size = config["embedding_size"]
    widths = list(itertools.pairwise((3 * size, *config["hidden_widths"])))
    pair = (settings["items"], settings["categories"])

    def tower() -> nn.ModuleList:
        return nn.ModuleList(nn.Linear(*layer, bias=False) for layer in widths)

    def tables() -> nn.ModuleList:
        return nn.ModuleList(nn.Embedding(rows + 1, size) for rows in pair)

    class CoNet(nn.Module):
        """BIAO SPEC section 2."""

        def __init__(self) -> None:
            super().__init__()
            self.users = nn.Embedding(settings["users"] + 1, size)
            self.of_source, self.of_target = tables(), tables()
            self.source, self.target, self.cross = tower(), tower(), tower()
            self.source_head = nn.Linear(widths[-1][1], 1)
            self.target_head = nn.Linear(widths[-1][1], 1)

        def forward(
            self, users: Tensor, of_source: Tensor, of_target: Tensor
        ) -> tuple[Tensor, Tensor]:
            user = self.users(users)
            source, target = (
                torch.cat([user, items(ids[:, 0]), categories(ids[:, 1])], 1)
                for (items, categories), ids in (
                    (self.of_source, of_source),
                    (self.of_target, of_target),
                )
            )
            for of_source, of_target, cross in zip(
                self.source, self.target, self.cross, strict=True
            ):
                source, target = (
                    (of_source(source) + cross(target)).relu(),
                    (of_target(target) + cross(source)).relu(),
                )
            return (
                self.source_head(source).squeeze(-1).sigmoid(),
                self.target_head(target).squeeze(-1).sigmoid(),
            )

    network = CoNet()
    optimizer = torch.optim.Adam(
        network.parameters(), lr=config["learning_rate"], weight_decay=config["l2"]
    )

    def behaviours() -> Tensor:
        return torch.stack([torch.randint(1, rows + 1, (batch,)) for rows in pair], 1)

    def labels() -> Tensor:
        return torch.randint(0, 2, (batch,)).float()

    batches = itertools.cycle(
        [
            (
                torch.randint(1, settings["users"] + 1, (batch,)),
                *(behaviours(), behaviours()),
                *(labels(), labels()),
                torch.ones(batch),
            )
            for _ in range(16)
        ]
    )

    def step() -> None:
        users, of_source, of_target, source_labels, target_labels, effect = next(batches)
        optimizer.zero_grad()
        source, target = network(users, of_source, of_target)
        of_behaviours = functional.binary_cross_entropy(source, source_labels, reduction="none")
        source_loss = (of_behaviours * effect).mean()
        loss = functional.binary_cross_entropy(target, target_labels)
        (loss + config["prior_weight"] * source_loss).backward()
        optimizer.step()

    return step_workload(step, network, batch)


if __name__ == "__main__":
    serve(set_up)
