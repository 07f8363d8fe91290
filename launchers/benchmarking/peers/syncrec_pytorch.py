"""The contender "pytorch" of SyNCRec: its step as the release writes it.

The work of a step is that of the release with experts, gates and towers of their own: each domain's
task calls each expert by itself, outputs that a task must leave as they are are detached behind the
call, and Adam is dense. Batches are in memory. Needs PyTorch, in this or in another environment
(`--peer_python`).
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
    """Builds the model and makes one step.

    Args:
      settings: "config" (fields of `SyncRecConfig`), "cross_experts", "domains", "items" of each
        domain, "length", "batch_size".

    Raises:
      Refusal: PyTorch cannot be imported.
    """
    torch = import_torch()
    from torch import nn
    from torch.nn import functional

    torch.manual_seed(0)
    config, length, batch = settings["config"], settings["length"], settings["batch_size"]
    size, heads, domains = config["hidden_size"], config["heads"], settings["domains"]
    rows = 1 + domains * settings["items"]
    cross = settings["cross_experts"]
    single = config["experts"] - cross
    ratio, alpha, beta = (
        config[name] for name in ("cross_expert_ratio", "rebalancing_decay", "rebalancing_rate")
    )

    class FeedForward(nn.Module):
        """SyNCRec SPEC section 2, the second half of an encoder layer."""

        def __init__(self) -> None:
            super().__init__()
            self.widening, self.narrowing = nn.Linear(size, 4 * size), nn.Linear(4 * size, size)
            self.norm, self.dropout = nn.LayerNorm(size), nn.Dropout(config["hidden_dropout"])

        def forward(self, hidden: Tensor) -> Tensor:
            inner = self.narrowing(functional.gelu(self.widening(hidden)))
            return self.norm(self.dropout(inner) + hidden)

    class Attention(nn.Module):
        """SyNCRec SPEC section 2, the first half of an encoder layer."""

        def __init__(self) -> None:
            super().__init__()
            self.query, self.key, self.value, self.dense = (nn.Linear(size, size) for _ in range(4))
            self.norm, self.dropout = nn.LayerNorm(size), nn.Dropout(config["hidden_dropout"])
            self.attention_dropout = nn.Dropout(config["attention_dropout"])

        def by_head(self, hidden: Tensor) -> Tensor:
            return hidden.view(*hidden.shape[:2], heads, -1).transpose(1, 2)

        def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
            query, key, value = (
                self.by_head(layer(hidden)) for layer in (self.query, self.key, self.value)
            )
            scores = query @ key.transpose(-1, -2) / (size // heads) ** 0.5
            weights = scores.masked_fill(~mask, -10000.0).softmax(-1).masked_fill(~mask, 0.0)
            weights = self.attention_dropout(weights)
            context = (weights @ value).transpose(1, 2).reshape(hidden.shape)
            return self.norm(self.dropout(self.dense(context)) + hidden)

    class Expert(nn.Module):
        """A transformer of some layers."""

        def __init__(self) -> None:
            super().__init__()
            self.attentions = nn.ModuleList(Attention() for _ in range(config["layers"]))
            self.feed_forwards = nn.ModuleList(FeedForward() for _ in range(config["layers"]))

        def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
            for attention, feed_forward in zip(self.attentions, self.feed_forwards, strict=True):
                hidden = feed_forward(attention(hidden, mask))
            return hidden

    class Gate(nn.Module):
        """SyNCRec SPEC section 2, the partitioned noisy gate."""

        def __init__(self, single_share: float) -> None:
            super().__init__()
            self.shares = single_share, 1 - single_share
            self.logits, self.noises = (
                nn.ModuleList(nn.Linear(length * size, count) for count in (single, cross))
                for _ in range(2)
            )

        def forward(self, flat: Tensor) -> Tensor:
            parts = []
            for share, logits, noise in zip(self.shares, self.logits, self.noises, strict=True):
                clean = logits(flat)
                noisy = clean + torch.randn_like(clean) * (functional.softplus(noise(flat)) + 1e-3)
                parts.append(share * noisy.softmax(-1))
            return torch.cat(parts, -1)

    class SyncRec(nn.Module):
        """SyNCRec SPEC sections 2 to 4."""

        def __init__(self) -> None:
            super().__init__()
            self.items = nn.Embedding(rows, size, padding_idx=0)
            self.types = nn.Embedding(domains + 1, size, padding_idx=0)
            self.positions = nn.Embedding(length, size)
            self.norm, self.dropout = nn.LayerNorm(size), nn.Dropout(config["hidden_dropout"])
            self.experts = nn.ModuleList(Expert() for _ in range(single + cross))
            shares = [ratio] * domains + [1 - ratio]
            self.gates = nn.ModuleList(Gate(share) for share in shares)
            self.towers = nn.ModuleList(FeedForward() for _ in shares)
            self.information = nn.Linear(size, size)
            self.delta = torch.full((domains,), 1 / domains)

        def task(self, number: int, items: Tensor, types: Tensor, mask: Tensor) -> Tensor:
            places = torch.arange(length)
            summed = self.items(items) + self.types(types) + self.positions(places)
            embedded = self.dropout(self.norm(summed))
            outputs = []
            for place, expert in enumerate(self.experts):
                output = expert(embedded, mask)
                constant = (place >= single) == (number < domains)
                outputs.append(output.detach() if constant else output)
            gate = self.gates[number](embedded.flatten(1))
            mixed = (torch.stack(outputs) * gate.T[..., None, None]).sum(0)
            return self.towers[number](mixed)

        def losses(self, hidden: Tensor, vectors: tuple, chosen: Tensor) -> Any:
            own, other = ((hidden * of).sum(-1) for of in vectors)
            return ((functional.softplus(-own) + functional.softplus(other)) * chosen).sum()

        def forward(self, items: Any, types: Any, following: Any, kinds: Any, others: Any) -> Any:
            earlier = torch.ones(length, length).tril().bool()
            seen = (earlier & (items > 0)[:, None])[:, None]
            vectors = self.items(following), self.items(others)
            of_all = self.task(domains, items, types, seen)
            of_domains, gained, sums = torch.zeros_like(of_all), [], []
            for domain in range(1, domains + 1):
                is_own = types == domain
                mask = seen
                if config["blanked_positions"] == "masked":
                    mask = seen & is_own[:, None, None]
                hidden = self.task(domain - 1, items * is_own, types * is_own, mask)
                of_domains = of_domains + hidden * is_own[..., None]
                chosen = kinds == domain
                pair = [self.losses(of, vectors, chosen) for of in (hidden, of_all)]
                gained.append((pair[0] - pair[1]).detach() / chosen.sum().clamp(min=1))
                sums.append(pair)
            self.delta = alpha * self.delta + beta * torch.stack(gained)
            weights = (self.delta / config["rebalancing_temperature"]).softmax(0)
            loss = sum(
                pair[0] / domains + w * pair[1] for pair, w in zip(sums, weights, strict=True)
            )
            loss = loss / 1000
            projected = self.information(of_all)
            own = (projected * of_domains).sum(-1).sigmoid()
            other = (projected * self.items(items.roll(1, 0))).sum(-1).sigmoid()
            return loss + (functional.softplus(other - own) * (following > 0)).mean()

    model = SyncRec()
    optimizer = torch.optim.Adam(model.parameters(), lr=config["learning_rate"])

    def types_of(items: Tensor) -> Tensor:
        return (items - 1) // settings["items"] + 1

    def draw() -> tuple[Tensor, ...]:
        items = torch.randint(1, rows, (batch, length + 1))
        before, after = items[:, :-1], items[:, 1:]
        others = torch.randint(1, rows, (batch, length))
        return before, types_of(before), after, types_of(after), others

    batches = itertools.cycle([draw() for _ in range(16)])

    def step() -> None:
        optimizer.zero_grad()
        model(*next(batches)).backward()
        optimizer.step()

    return step_workload(step, model, batch)


if __name__ == "__main__":
    serve(set_up)
