"""Weights of the released PyTorch code: its names and its layouts."""

from collections.abc import Iterator

from tfcdr.errors import RunError
from tfcdr.layers.mlp_bank import LinearBank, MlpBank
from tfcdr.released_weights import state_dict
from tfcdr.released_weights.layouts import ReferenceWeight
from tfcdr.systems.daa.backbone import TASKS, Backbone
from tfcdr.systems.daa.bottom_networks import Aitm, SharedBottom, SingleTask
from tfcdr.systems.daa.critic import Critic
from tfcdr.systems.daa.expert_networks import LayeredExtraction, MultiGateMixture
from tfcdr.systems.daa.field_embedding import FieldEmbedding
from tfcdr.systems.daa.metaheac import MetaHeac

Weights = Iterator[tuple[str, ReferenceWeight]]


def reference_weights(network: Backbone) -> dict[str, ReferenceWeight]:
    """Maps every name of the release's state dict to its place in a network.

    The counters `num_batches_tracked` of batch norms, which nothing reads, and PLE's last shared
    gate, which feeds nothing, are left out.
    """
    if isinstance(network, MetaHeac):
        return {f"model.{name}": weight for name, weight in _metaheac(network)}
    return dict([*_embeddings(network), *_hidden(network), *_towers(network)])


def load_state_dict(network: Backbone, path: str) -> list[str]:
    """Fills a network with a state dictionary of the release.

    Args:
      network: of the same backbone, sizes and columns; nothing changes if they differ.
      path: of an `.npz` or safetensors file; see `released_weights.state_dict`.

    Returns:
      The names of the parameters and running values that were read.

    Raises:
      RunError: the file cannot be read, lacks a parameter, has one of another shape, or holds
        parameters of another network.
    """
    weights = reference_weights(network)
    values = state_dict.read(path)
    strangers = [name for name in values if name not in weights and not _is_unused(name)]
    if strangers:
        raise RunError(
            f"{path}: holds {strangers[0]}, which no network with "
            f"backbone={network.config.backbone} and these sizes has; it is another network's."
        )
    return state_dict.restore(weights, values, path)


def _is_unused(name: str) -> bool:
    return name.endswith(".num_batches_tracked") or name.startswith("share_gates.")


def critic_weights(critic: Critic) -> dict[str, ReferenceWeight]:
    """Maps every name of a released critic's state dict to its place in ours."""
    weights = {}
    for place, layer in zip((0, 2, 4), critic.layers, strict=True):
        weights[f"layer.{place}.weight"] = ReferenceWeight(layer.kernel, transposed=True)
        weights[f"layer.{place}.bias"] = ReferenceWeight(layer.bias)
    return weights


def _embeddings(network: Backbone) -> Weights:
    if isinstance(network, SingleTask):
        for task, layer in enumerate(network.embeddings):
            yield from _embedding(layer, f".{task}")
    else:
        yield from _embedding(network.embedding, "")


def _embedding(layer: FieldEmbedding, suffix: str) -> Weights:
    yield f"embedding{suffix}.embedding.weight", ReferenceWeight(layer.table)
    yield from _linear(layer.numerical_layer, f"numerical_layer{suffix}")


def _hidden(network: Backbone) -> Weights:
    if isinstance(network, SharedBottom):
        yield from _mlp(network.bottom, "bottom")
    elif isinstance(network, SingleTask):
        for task, bottom in enumerate(network.bottoms):
            yield from _mlp(bottom, f"bottom.{task}")
    elif isinstance(network, Aitm):
        yield from _mlps(network.bottom, "bottom")
        for number, transfer in enumerate(network.transfers):
            yield from _linear(transfer, f"g.{number}")
        for member in range(3):
            yield from _linear(network.attention, f"h{member + 1}", member)
    elif isinstance(network, LayeredExtraction):
        yield from _levels(network)
    else:
        yield from _mlps(network.expert, "expert")
        for member in range(network.gate.count):
            name = f"gate.{member}.0" if isinstance(network, MultiGateMixture) else "gate.0"
            yield from _linear(network.gate, name, member)


def _levels(network: LayeredExtraction) -> Weights:
    for number, level in enumerate(network.levels):
        for group in range(len(TASKS) + 1):
            scope = f"task_experts.{number}.{group}"
            if group == len(TASKS):
                scope = f"share_experts.{number}"
            for expert in range(level.num_experts):
                columns = slice(expert * level.width, (expert + 1) * level.width)
                yield from _mlp(level.experts, f"{scope}.{expert}", group, columns)
        for task in range(len(TASKS)):
            yield from _linear(level.task_gates, f"task_gates.{number}.{task}.0", task)
        if level.shared_gate is not None:
            yield from _linear(level.shared_gate, f"share_gates.{number}.0")


def _metaheac(network: MetaHeac) -> Weights:
    yield from _embedding(network.embedding, "")
    yield "task_embedding.weight", ReferenceWeight(network.task_embedding)
    yield from _mlps(network.expert, "expert")
    yield from _mlps(network.critic, "critic")
    yield from _linear(network.expert_gate, "expert_gate.0")
    yield from _linear(network.critic_gate, "critic_gate.0")


def _towers(network: Backbone) -> Weights:
    yield from _mlps(network.tower, "tower")


def _mlps(bank: MlpBank, scope: str) -> Weights:
    for member in range(bank.count):
        yield from _mlp(bank, f"{scope}.{member}", member)


def _mlp(bank: MlpBank, scope: str, member: int = 0, columns: slice = slice(None)) -> Weights:
    """Yields one perceptron's weights; `columns` are its units where a member holds several."""
    for number, (linear, norm) in enumerate(zip(bank.linears, bank.norms, strict=True)):
        yield from _linear(linear, f"{scope}.mlp.{4 * number}", member, columns)
        units = _units(linear, member, columns)
        for name, variable in {
            "weight": norm.gamma,
            "bias": norm.beta,
            "running_mean": norm.running_mean,
            "running_var": norm.running_variance,
        }.items():
            yield f"{scope}.mlp.{4 * number + 1}.{name}", ReferenceWeight(variable, (units,))
    if bank.output_layer is not None:
        yield from _linear(bank.output_layer, f"{scope}.mlp.{4 * len(bank.linears)}", member)


def _linear(bank: LinearBank, name: str, member: int = 0, columns: slice = slice(None)) -> Weights:
    units = _units(bank, member, columns)
    index: tuple[slice | int, ...] = (member, slice(None), columns)
    if bank.kernel.shape.rank == 2:  # the members' kernels side by side
        index = (slice(None), units)
    yield f"{name}.weight", ReferenceWeight(bank.kernel, index, transposed=True)
    yield f"{name}.bias", ReferenceWeight(bank.bias, (units,))


def _units(bank: LinearBank, member: int, columns: slice) -> slice:
    """Returns the places of a member's columns among the units of all members."""
    start, stop, _ = columns.indices(bank.width)
    return slice(member * bank.width + start, member * bank.width + stop)
