"""The network: tasks as one computation, what each reads, and where gradients go."""

import numpy as np
import pytest
import tensorflow as tf

from tests.tfcdr.systems.syncrec.small_models import LENGTH, NAMES, batch, domains_of, make
from tfcdr.systems.syncrec.draws import NoDraws
from tfcdr.systems.syncrec.embedding import Sequences
from tfcdr.systems.syncrec.experts import task_mask

ARCHITECTURES = [
    {},
    {"heads": 2, "blanked_positions": "masked"},
    {"expert_layer": "ffn"},
    {"modules": "released"},
    {"modules": "released", "expert_layer": "ffn", "heads": 2},
]


def loop_of_calls(network, config, items, domains):
    """The single-domain tasks as the release computes them: a call for each domain and expert."""
    draws, outputs = NoDraws(), []
    every = network.embedding(items, domains, draws)
    groups = [network.single_experts] * config.single_experts
    groups += [network.cross_experts] * config.cross_experts
    for domain in range(1, len(NAMES) + 1):
        kept = (domains == domain)[tf.newaxis]
        # What this task reads, as a sequence of its own.
        own = tf.where(kept[0, ..., tf.newaxis], every.values, every.padding)
        sequences = Sequences(own, every.padding, tf.ones_like(kept), every.is_item)
        mask = task_mask(every._replace(kept=kept), config)
        flat = tf.reshape(own, (1, len(items), -1))
        gates = network.single_gates
        if config.modules == "independent":
            flat = tf.repeat(flat, len(NAMES), 0)
        weights = gates(flat, draws, single_share=config.cross_expert_ratio)
        weights = weights[domain - 1 if config.modules == "independent" else 0]
        mixed = 0.0
        for number in range(config.experts):
            group, place = groups[number], number
            if number >= config.single_experts:
                place = number - config.single_experts
            inputs = (sequences, mask, draws)
            if network.shared_attention is not None:
                inputs = (network.shared_attention(*inputs), draws)
            total = config.single_experts if group is network.single_experts else None
            total = total or config.cross_experts
            output = group(*inputs, number=total)[place, 0]
            mixed += weights[:, number, tf.newaxis, tf.newaxis] * output
        hidden = mixed[tf.newaxis, tf.newaxis]
        if config.modules == "independent":
            hidden = tf.repeat(hidden, len(NAMES), 0)
            outputs.append(network.single_towers(hidden, draws)[domain - 1, 0])
        else:
            outputs.append(network.single_towers(hidden, draws)[0, 0])
    return tf.stack(outputs)


@pytest.mark.parametrize("fields", ARCHITECTURES, ids=str)
def test_the_batched_tasks_equal_a_loop_of_calls(fields):
    model, rows = make(**fields), batch()
    tasks = model.network.single_tasks
    came = tasks(rows["items"], rows["domains"], NoDraws()).hidden.numpy()
    expected = loop_of_calls(model.network, model.config, rows["items"], rows["domains"]).numpy()
    present = rows["items"].numpy() > 0
    np.testing.assert_allclose(came[:, present], expected[:, present], atol=2e-5)
    # Tasks differ, or the comparison would say nothing.
    assert np.abs(came[0] - came[1]).max() > 1e-3


FOLDED = [
    {},
    {"heads": 2},
    {"expert_layer": "ffn"},
    {"modules": "released"},
    {"layers": 3, "single_stop_gradient": False},
]


@pytest.mark.parametrize("fields", FOLDED, ids=str)
def test_folded_tasks_equal_tasks_of_their_own(fields):
    """Tasks that see their own domain alone, all in one sequence: outputs and gradients."""
    model, rows = make(blanked_positions="masked", **fields), batch()
    numbers = tf.range(1, len(NAMES) + 1)[:, tf.newaxis, tf.newaxis]
    kinds = [rows["domains"], rows["next_domains"]]
    turns = [tf.cast(of == numbers, tf.float32)[..., tf.newaxis] for of in kinds]
    variables = model.trainable_variables

    def unfolded():
        hidden = model.network.single_tasks(*rows_of("items", "domains"), NoDraws()).hidden
        return [tf.reduce_sum(turn * hidden, 0) for turn in turns]

    def in_one():
        arrays = rows_of("items", "domains", "next_domains")
        outputs = model.network.own_outputs(*arrays, NoDraws())
        return [outputs.own, outputs.next]

    def rows_of(*names):
        return [rows[name] for name in names]

    def differentiated(compute):
        with tf.GradientTape() as tape:
            own, following = compute()
            value = tf.reduce_sum(own**3 + tf.sin(following))
        slopes = tape.gradient(value, variables, unconnected_gradients="zero")
        return own, following, [tf.convert_to_tensor(slope) for slope in slopes]

    expected, came = (differentiated(compute) for compute in (unfolded, in_one))
    for ours, theirs in zip(came[:2], expected[:2], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)
    for ours, theirs in zip(came[2], expected[2], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-4 * (1 + np.abs(theirs).max()))


@pytest.mark.parametrize("blanked", ["attended", "masked"])
def test_nothing_that_comes_later_is_read(blanked):
    model = make(blanked_positions=blanked)
    items = np.array([[3, 7, 12, 1, 8, 14]], np.int32)
    other = items.copy()
    other[0, 4:] = [2, 11]
    outputs = []
    for history in (items, other):
        arrays = tf.constant(history), tf.constant(domains_of(history))
        # Not the tasks' outputs: gates read the whole sequence, as in the release.
        sequences = model.network.embedding(*arrays, NoDraws())
        outputs.append(model.network._read(sequences, (False, False), NoDraws()))
    for ours, theirs in zip(*outputs, strict=True):
        np.testing.assert_allclose(ours[:, :, :, :4], theirs[:, :, :, :4], atol=1e-5)
        assert np.abs(ours[:, :, :, 4:] - theirs[:, :, :, 4:]).max() > 1e-3


def test_a_masked_task_reads_its_domain_alone():
    model = make(blanked_positions="masked")
    items = np.array([[3, 7, 12, 1, 8, 14]], np.int32)
    other = items.copy()
    other[0, [1, 4]] = [9, 6]  # other films
    reading = []
    for history in (items, other):
        arrays = tf.constant(history), tf.constant(domains_of(history))
        reading.append(model.network.single_tasks(*arrays, NoDraws()).hidden.numpy())
    books, films, toys = (np.abs(reading[0][d] - reading[1][d]).max() for d in range(3))
    assert (books, toys) == (0, 0)
    assert films > 1e-3


def moved_by(model, rows, output):
    """Names of the experts and gates that a gradient of an output reaches."""
    with tf.GradientTape() as tape:
        arrays = rows["items"], rows["domains"]
        if output == "single":
            single = model.network.own_outputs(*arrays, rows["next_domains"], NoDraws())
            value = tf.reduce_sum(single.own**3 + single.next**3)
        else:
            cross = model.network.cross_task(*arrays, NoDraws(), training=True)
            value = tf.reduce_sum(cross.hidden**3)
    names = ("single_experts", "cross_experts", "single_gates", "cross_gates")
    layers = {name: getattr(model.network, name).trainable_variables for name in names}
    slopes = tape.gradient(value, layers)
    return {name for name in names if any(slope is not None for slope in slopes[name])}


@pytest.mark.parametrize("blanked", ["attended", "masked"])
def test_experts_learn_from_the_tasks_of_their_group_alone(blanked):
    model, rows = make(blanked_positions=blanked), batch()
    assert moved_by(model, rows, "single") == {"single_experts", "single_gates"}
    assert moved_by(model, rows, "cross") == {"cross_experts", "cross_gates"}
    model = make(single_stop_gradient=False, blanked_positions=blanked)
    assert moved_by(model, rows, "single") == {
        "single_experts",
        "cross_experts",
        "single_gates",
    }
    assert moved_by(model, rows, "cross") == {"cross_experts", "cross_gates"}


def test_nothing_is_computed_backwards_for_constant_outputs():
    """Matrix products of the step, each of which an expert that learns has twice backwards."""
    counts = {}
    for stopped in (True, False):
        model = make(single_stop_gradient=stopped, cross_stop_gradient=True)
        spec = {key: tf.TensorSpec(v.shape, v.dtype) for key, v in batch().items()}
        graph = tf.function(model.loss_and_gradients).get_concrete_function(spec).graph
        counts[stopped] = sum("MatMul" in operation.type for operation in graph.get_operations())
    assert counts[True] < counts[False]


def test_the_last_domains_gate_stands_for_the_cross_gate_in_training_alone():
    rows = batch()
    arrays = rows["items"], rows["domains"]
    model = make(cross_gate_in_training="last_domain")
    network = model.network
    single = network.single_tasks(*arrays, NoDraws())
    training = network.cross_task(*arrays, NoDraws(), training=True)
    serving = network.cross_task(*arrays, NoDraws(), training=False)
    flat = tf.reshape(training.embedded, (1, 5, -1))
    every = network.single_gates(tf.repeat(flat, 3, 0), NoDraws(), single_share=0.5)
    np.testing.assert_allclose(training.gates[0], every[-1], atol=1e-6)
    assert np.abs(training.gates - serving.gates).max() > 1e-3
    assert single.gates.shape == (3, 5, 4)
    variables = {variable.ref() for variable in model.loss_variables}
    assert not variables & {v.ref() for v in network.cross_gates.trainable_variables}


def test_gates_sum_to_one_and_give_each_group_its_share():
    model, rows = make(experts=5, cross_expert_ratio=0.6), batch()
    gates = model.task_gates(rows["items"], rows["domains"]).numpy()
    assert gates.shape == (4, 5, 5)
    np.testing.assert_allclose(gates.sum(-1), 1, atol=1e-6)
    np.testing.assert_allclose(gates[:3, :, :2].sum(-1), 0.6, atol=1e-6)
    np.testing.assert_allclose(gates[3, :, :2].sum(-1), 0.4, atol=1e-6)
    plain = make(single_stop_gradient=False, cross_stop_gradient=False)
    gates = plain.task_gates(rows["items"], rows["domains"]).numpy()
    np.testing.assert_allclose(gates.sum(-1), 1, atol=1e-6)
    assert np.ptp(gates[..., :2].sum(-1)) > 1e-3


def test_released_modules_share_their_weights():
    own, shared = make().network, make(modules="released").network
    assert own.single_experts is not own.cross_experts
    assert shared.single_experts is shared.cross_experts
    assert shared.single_gates is shared.cross_gates
    assert shared.single_towers is shared.cross_tower
    assert shared.single_towers.widening.kernel.shape[0] == 1
    assert own.single_towers.widening.kernel.shape[0] == len(NAMES)
    assert own.embedding.position_table.shape == (LENGTH, 8)
