"""The contender "pytorch" of DAA: its source stage as one writes it in PyTorch.

The work of a step is that of the release: one table, a module for each expert, dense Adam with its
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

_TASKS = 2


def set_up(settings: dict[str, Any]) -> Workload:
    """Builds the model and makes one step.

    Args:
      settings: "config" (fields of `DaaConfig`, backbone "sharedbottom" or "mmoe"), "field_sizes"
        of the categorical columns, "numerical" columns.

    Raises:
      Refusal: PyTorch cannot be imported.
    """
    torch = import_torch()
    from torch import nn
    from torch.nn import functional

    torch.manual_seed(0)
    config, sizes = settings["config"], settings["field_sizes"]
    batch, width = config["source_batch_size"], config["embedding_size"]
    inputs, hidden = (len(sizes) + 1) * width, config["bottom_widths"][-1]

    def perceptron(inputs: int, widths: list[int], has_output: bool) -> nn.Sequential:
        layers = []
        for of_layer in widths:
            layers += [nn.Linear(inputs, of_layer), nn.BatchNorm1d(of_layer), nn.ReLU()]
            layers.append(nn.Dropout(config["dropout"]))
            inputs = of_layer
        return nn.Sequential(*layers, *([nn.Linear(inputs, 1)] if has_output else []))

    class Network(nn.Module):
        """DAA SPEC sections 1 and 2."""

        def __init__(self) -> None:
            super().__init__()
            starts = itertools.accumulate(sizes[:-1], initial=0)
            self.register_buffer("starts", torch.tensor(list(starts)))
            self.table = nn.Embedding(sum(sizes), width)
            nn.init.xavier_uniform_(self.table.weight)
            self.numerical = nn.Linear(settings["numerical"], width)
            bottoms = config["experts"] if config["backbone"] == "mmoe" else 1
            self.bottoms = nn.ModuleList(
                perceptron(inputs, config["bottom_widths"], False) for _ in range(bottoms)
            )
            gates = _TASKS if config["backbone"] == "mmoe" else 0
            self.gates = nn.ModuleList(nn.Linear(inputs, bottoms) for _ in range(gates))
            self.towers = nn.ModuleList(
                perceptron(hidden, config["tower_widths"], True) for _ in range(_TASKS)
            )

        def forward(self, categorical: Tensor, numerical: Tensor) -> list[Tensor]:
            of_values = self.table(categorical + self.starts)
            embedded = torch.cat([of_values, self.numerical(numerical)[:, None]], 1).flatten(1)
            if not self.gates:
                mixtures = [self.bottoms[0](embedded)] * _TASKS
            else:
                experts = torch.stack([expert(embedded) for expert in self.bottoms], 1)
                weights = [gate(embedded).softmax(1)[:, None] for gate in self.gates]
                mixtures = [(of_task @ experts)[:, 0] for of_task in weights]
            pairs = zip(self.towers, mixtures, strict=True)
            return [tower(mixture)[:, 0].sigmoid() for tower, mixture in pairs]

    network = Network()
    optimizer = torch.optim.Adam(
        network.parameters(), lr=config["source_learning_rate"], weight_decay=config["source_l2"]
    )
    batches = itertools.cycle(
        [
            (
                torch.stack([torch.randint(0, size, (batch,)) for size in sizes], 1),
                torch.randn(batch, settings["numerical"]),
                torch.randint(0, 2, (_TASKS, batch)).float(),
            )
            for _ in range(16)
        ]
    )

    def step() -> None:
        categorical, numerical, labels = next(batches)
        optimizer.zero_grad()
        predictions = network(categorical, numerical)
        pairs = zip(predictions, labels, strict=True)
        loss = sum(functional.binary_cross_entropy(*pair) for pair in pairs) / _TASKS
        loss.backward()
        optimizer.step()

    return step_workload(step, network, batch)


if __name__ == "__main__":
    serve(set_up)
