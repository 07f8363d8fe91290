"""Fine-tuning: exactly what trains, the losses by hand, what a train step does."""

import numpy as np
import pytest
import tensorflow as tf

from tests.compilation import compiled_or_plain
from tests.tfcdr.memory_data import CLS, LENGTH, ROWS, TARGETS, MemoryData, training_batch
from tfcdr import optimizers
from tfcdr.data_source import check_batch
from tfcdr.stage_model import MODEL_OPTIMIZER
from tfcdr.systems.peterrec.config import PeterRecConfig
from tfcdr.systems.peterrec.model import FinetuningModel
from tfcdr.systems.peterrec.system import PeterRec

LN2, LN3 = np.log(2.0), np.log(3.0)
LEARNING_RATE = 0.01


def make(targets=TARGETS, **fields):
    config = PeterRecConfig(**{"channels": 8, "dilations": (1,), **fields})
    model = FinetuningModel(config, LENGTH, ROWS, targets)
    model.compile({MODEL_OPTIMIZER: optimizers.adam(LEARNING_RATE)})
    model.optimizer.build(model.trainable_variables)
    return model


def batch_for(model, data=None, batch_size=22):
    options = {"cls": "last" if model.config.causal else "both", "negatives": 2}
    return training_batch(data or MemoryData(), "transfer", batch_size, **options)


ADAPTER = ("down_kernel", "down_bias", "up_kernel", "up_bias")


def variables_of(layer, *names):
    return [getattr(layer, name) for name in names]


def expected_to_train(model):
    """The variables that the paper's names promise, picked by hand from one block."""
    block = model.trunk.blocks[0]
    patches = [variable for patch in block.adapters for variable in variables_of(patch, *ADAPTER)]
    second_norm = variables_of(block.norm2, "gamma", "beta")
    trunk = [
        model.trunk.item_embedding.embeddings,
        *(model.trunk.position_embedding.weights if model.trunk.position_embedding else ()),
        *variables_of(block.convolution1, "kernel", "bias"),
        *variables_of(block.convolution2, "kernel", "bias"),
        *variables_of(block.norm1, "gamma", "beta"),
        *second_norm,
    ]
    return {
        "adapters": [model.target_embedding, *patches, *second_norm],
        "no_pretraining": [model.target_embedding, *patches, *second_norm],
        "last_layer": [model.target_embedding],
        "fine_tune_all": [model.target_embedding, *trunk],
        "from_scratch": [model.target_embedding, *trunk],
    }[model.config.adaptation]


ADAPTATIONS = ["adapters", "no_pretraining", "last_layer", "fine_tune_all", "from_scratch"]


@pytest.mark.parametrize("insertion", ["serial", "serial_single"])
@pytest.mark.parametrize("adaptation", ADAPTATIONS)
def test_exactly_the_promised_variables_train(adaptation, insertion):
    model = make(adaptation=adaptation, insertion=insertion, position_embedding=True)
    expected = {id(variable) for variable in expected_to_train(model)}
    assert {id(variable) for variable in model.trainable_variables} == expected
    frozen = {id(variable) for variable in model.variables} - expected
    assert {id(variable) for variable in model.non_trainable_variables} == frozen
    assert bool(model.trunk.blocks[0].adapters) == (adaptation in ("adapters", "no_pretraining"))


@pytest.mark.parametrize("adaptation", ADAPTATIONS)
def test_only_what_trains_has_optimizer_slots(adaptation):
    model = make(adaptation=adaptation)
    slots = [variable for variable in model.optimizer.variables if variable.shape.rank]
    # Two moments for each.
    expected = [variable.shape for variable in model.trainable_variables for _ in range(2)]
    assert sorted(map(tuple, expected)) == sorted(tuple(slot.shape) for slot in slots)


@pytest.mark.parametrize("adaptation", ADAPTATIONS)
def test_a_step_moves_what_trains_and_not_one_bit_of_the_rest(adaptation, jit_compile):
    model = make(adaptation=adaptation)
    expected = {id(variable) for variable in expected_to_train(model)}
    before = {id(variable): variable.numpy() for variable in model.variables}
    compiled_or_plain(model.train_step, jit_compile)(batch_for(model))
    for variable in model.variables:
        moved = not np.array_equal(variable, before[id(variable)])
        assert moved == (id(variable) in expected), variable.name


def known_user(model, vector):
    """Makes the trunk return the item embedding, and CLS a known vector."""
    for block in model.trunk.blocks:
        block.norm2.gamma.assign(tf.zeros_like(block.norm2.gamma))
        block.norm2.beta.assign(tf.zeros_like(block.norm2.beta))
    table = model.trunk.item_embedding.embeddings
    table.assign(tf.zeros_like(table))
    table.assign(tf.tensor_scatter_nd_update(table, [[CLS]], [vector]))
    return model


def losses_of(model, batch, jit_compile):
    batch = {key: tf.constant(value) for key, value in batch.items()}
    computed = compiled_or_plain(model.compute_losses, jit_compile)(batch)
    return {name: float(loss) for name, loss in computed.losses.items()}


def hand_made(causal=True, targets=3, **fields):
    """One channel counts: the user is 1, items 1, 2, 3 score ln 3, 0 and ln 2."""
    model = make(targets=targets, causal=causal, **fields)
    # A non-causal user vector is the sum of both CLS positions.
    known_user(model, [1.0 if causal else 0.5] + [0.0] * 7)
    table = np.zeros((targets + 1, 8), np.float32)
    table[:4, 0] = [9.0, LN3, 0.0, LN2]
    model.target_embedding.assign(table)
    before = [] if causal else [CLS]
    return model, {
        "context": np.array([[*before, 0, 0, 1, 2, 3, CLS]] * 2, np.int32),
        "target_item": np.array([1, 0], np.int32),
        "negative_items": np.array([[2, 1], [0, 0]], np.int32),
        "example_weight": np.array([1, 0], np.float32),
    }


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        # -ln sigmoid(ln 3) = ln(4/3); negatives at 0 and ln 3 cost ln 2 and ln 4.
        ("bce", np.log(4 / 3) + 1.5 * LN2),
        # Margins ln 3 and 0.
        ("bpr", (np.log(4 / 3) + LN2) / 2),
        # 3 of 3 + 1 + 2; the row of padding, which scores highest, is no class.
        ("softmax", LN2),
    ],
)
def test_losses_by_hand(loss, expected, causal, jit_compile):
    model, batch = hand_made(causal, loss=loss, l2=0.0)
    losses = losses_of(model, batch, jit_compile)
    assert losses["loss"] == pytest.approx(expected, rel=1e-5)
    assert losses["data_loss"] == losses["loss"]


def test_l2_penalizes_the_whole_table(jit_compile):
    model, batch = hand_made(l2=0.02)
    losses = losses_of(model, batch, jit_compile)
    # 0.02 / 2 * (81 + ln(3)^2 + ln(2)^2): row 0 belongs to the table.
    penalty = 0.01 * (81 + LN3**2 + LN2**2)
    assert losses["loss"] - losses["data_loss"] == pytest.approx(penalty, rel=1e-4)


def test_l2_penalizes_what_the_examples_read_where_only_that_moves(jit_compile):
    model, batch = hand_made(l2=0.02, table_update="touched_rows")
    losses = losses_of(model, batch, jit_compile)
    # The first example reads items 1, 2 and 1 again; the second only fills the batch up.
    assert losses["loss"] - losses["data_loss"] == pytest.approx(0.01 * 2 * LN3**2, rel=1e-4)


@pytest.mark.parametrize("loss", ["bce", "bpr"])
def test_a_step_can_leave_the_rows_alone_that_no_example_reads(loss, jit_compile):
    model = make(loss=loss, l2=0.02, table_update="touched_rows", targets=200)
    model.compile(PeterRec().optimizers("finetune", model.config))
    batch = batch_for(model)
    _, gradients = model.loss_and_gradients(batch)
    table = [variable is model.target_embedding for variable in model.trainable_variables]
    # No dense gradient either: it alone would cost as much as the table.
    assert isinstance(gradients[table.index(True)], tf.IndexedSlices)
    before = model.target_embedding.numpy()
    for _ in range(2):
        compiled_or_plain(model.train_step, jit_compile)(batch)
    moved = np.any(model.target_embedding.numpy() != before, axis=1)
    read = np.unique([*batch["target_item"], *np.ravel(batch["negative_items"])])
    assert set(np.flatnonzero(moved)) == set(read)


def test_softmax_needs_no_negatives():
    assert "negative_items" not in make(loss="softmax").batch_spec
    assert "negative_items" in make(loss="bpr").batch_spec


@pytest.mark.parametrize("loss", ["bce", "bpr", "softmax"])
def test_rows_that_fill_a_batch_up_do_not_count(loss, jit_compile):
    model = make(loss=loss)
    whole, filled = (batch_for(model, MemoryData(users=5), size) for size in (5, 8))
    expected = losses_of(model, whole, jit_compile)["loss"]
    assert losses_of(model, filled, jit_compile)["loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("loss", "causal", "insertion"),
    [("bce", True, "serial"), ("bpr", False, "parallel"), ("softmax", True, "serial_single")],
)
def test_train_step_learns_a_batch_compiled_as_plain(loss, causal, insertion):
    after_two_steps = []
    for jit_compile in (False, True):
        tf.keras.utils.set_random_seed(3)
        model = make(loss=loss, causal=causal, insertion=insertion, cardinality=2, l2=1e-4)
        # A trunk that has been trained is far larger than the adapters at their start.
        for convolution in (
            c for b in model.trunk.blocks for c in (b.convolution1, b.convolution2)
        ):
            convolution.kernel.assign(tf.random.normal(convolution.kernel.shape))
        table = model.trunk.item_embedding.embeddings
        table.assign(tf.random.normal(table.shape))
        batch = batch_for(model)
        specs = {key: tf.TensorSpec(tensor.shape, tensor.dtype) for key, tensor in batch.items()}
        check_batch(specs, model.batch_spec, model.name)
        step = compiled_or_plain(model.train_step, jit_compile)
        losses = [float(step(batch).losses["data_loss"]) for _ in range(2)]
        after_two_steps.append(model.get_weights())
    losses += [float(step(batch).losses["data_loss"]) for _ in range(200)]
    assert losses[-1] < 0.1 * losses[0]
    for plain, compiled in zip(*after_two_steps, strict=True):
        np.testing.assert_allclose(plain, compiled, atol=0.02 * LEARNING_RATE)


def test_zero_start_begins_as_the_network_without_adapters():
    patched = make(adapter_zero_start=True)
    plain = make(adaptation="last_layer")
    pairs = zip(plain.trunk.pretrained_layers, patched.trunk.pretrained_layers, strict=True)
    for layer, copied in pairs:
        copied.set_weights(layer.get_weights())
    context = batch_for(plain)["context"]
    np.testing.assert_array_equal(plain.encode(context), patched.encode(context))


@pytest.mark.parametrize("initialization", ["independent", "released"])
def test_branches_separate_only_if_they_start_apart(initialization):
    model = make(channels=16, cardinality=2, initialization=initialization)
    # Twenty steps: branches that start identical get equal gradients up to rounding.
    step = tf.function(model.train_step)
    for _ in range(20):
        step(batch_for(model))
    kernel = model.trunk.blocks[0].adapter1.down_kernel.numpy()
    apart = np.abs(kernel[:, :2] - kernel[:, 2:]).max()
    assert apart < 1e-3 if initialization == "released" else apart > 1e-2


@pytest.mark.parametrize("causal", [True, False])
def test_a_served_history_gets_the_views_cls_tokens(causal):
    model = make(causal=causal)
    batch = batch_for(model)
    context = batch["context"]
    history = context[:, :-1] if causal else context[:, 1:-1]
    np.testing.assert_array_equal(model.encode_history(history), model.encode(context))


def test_query_hands_on_what_the_view_gives():
    model = make()
    data = MemoryData()
    options = {"batch_size": 22, "seed": 0, "cls": "last"}
    with_candidates = next(iter(data.batches("transfer", "test", candidates=3, **options)))
    query = model.query(with_candidates)
    np.testing.assert_array_equal(query.positive, query.candidates[:, 0])
    np.testing.assert_array_equal(query.excluded, with_candidates["seen_items"])
    assert model.query(next(iter(data.batches("transfer", "test", **options)))).candidates is None
    assert model.score_catalogue(query.user).shape == (22, TARGETS + 1)
