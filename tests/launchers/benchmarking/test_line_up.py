"""What --against takes, and that the contenders do the work that they stand for."""

import dataclasses
import sys
import types

import numpy as np
import pytest
import tensorflow as tf

from data_pipelines.impressions.aliexpress import COLUMNS
from data_pipelines.impressions.synthetic import FIELD_SIZES
from launchers.benchmarking import (
    generated_data,
    generated_impressions,
    kernels,
    line_up,
    matrix_products,
)
from launchers.benchmarking.contender_process import ContenderProcess
from launchers.benchmarking.generated_data import DataSizes
from launchers.benchmarking.line_up import Plan
from launchers.benchmarking.peers.nextitnet_release import ReleasedNextItNet
from tfcdr.errors import RunError
from tfcdr.systems.daa.config import DaaConfig
from tfcdr.systems.daa.task_model import TaskModel
from tfcdr.systems.peterrec.config import PeterRecConfig
from tfcdr.systems.peterrec.model import PretrainingModel
from tfcdr.systems.registry import SYSTEMS

SIZES = DataSizes(items=100, length=6, users=120)
CONFIG = PeterRecConfig(channels=8, dilations=(1, 4), pretrain_batch_size=16)
PLAN = Plan("peterrec", "pretrain", CONFIG, SIZES, jit_compile=True)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("tensorflow", "release"),
        ("release fast", "fast"),
        ("release onednn=maybe", "maybe"),
        ("release xla=true", "xla"),
        ("recbole model=BERT", "NextItNet"),
        ("tfcdr peterrec.width=8", "width"),
        ("tfcdr peterrec.channels=-8", "channels"),
        ("tfcdr data.items=3", "items"),
    ],
)
def test_refuses_naming_what_is_wrong(text, named):
    with pytest.raises(ValueError, match=named):
        line_up.parse(PLAN, text)


@pytest.mark.parametrize("name", ["release", "recbole"])
def test_peers_refuse_another_stage_than_theirs(name):
    with pytest.raises(ValueError, match="does not do the work"):
        line_up.parse(dataclasses.replace(PLAN, stage="finetune"), name)


def test_settings_of_another_tfcdr(tmp_path):
    text = "tfcdr data.items=150 peterrec.dilations=1,2 peterrec.causal=false jit_compile=false"
    _, settings, _ = line_up.parse(PLAN, text).start(tmp_path, sys.executable)
    assert settings["config"] == dataclasses.asdict(
        dataclasses.replace(CONFIG, dilations=(1, 2), causal=False)
    )
    assert not settings["jit_compile"]
    data = generated_data.open_prepared(settings["data_dir"])
    assert data.vocabulary("source").size == 150


def test_generated_data_have_the_sizes_that_were_asked_for(tmp_path):
    data = generated_data.prepare(tmp_path / "data", SIZES, ["next_item", "transfer"])
    for space in ("source", "target"):
        assert data.vocabulary(space).size == 100
    (batch,) = data.batches("next_item", "train", batch_size=64, seed=0).take(1)
    # Every history is full: padding would make the work look cheaper than it is.
    assert batch["items"].shape == (64, 7)
    assert np.all(batch["items"] > 0)
    (batch,) = data.batches("transfer", "train", batch_size=64, seed=0, negatives=1).take(1)
    assert np.all(batch["context"] > 0)


def test_the_release_is_the_same_network():
    release = ReleasedNextItNet(CONFIG, items=100)
    ours = PretrainingModel(CONFIG, 6, 103, np.arange(100, 0, -1))
    random = np.random.default_rng(0)
    table = ours.trunk.item_embedding.embeddings
    table.assign(random.normal(size=table.shape))
    release.embedding.assign(table[:101])
    for block, theirs in zip(ours.trunk.blocks, release.blocks, strict=True):
        layers = ((block.convolution1, block.norm1), (block.convolution2, block.norm2))
        for (convolution, norm), weights in zip(layers, theirs, strict=True):
            for variable in (*convolution.weights, *norm.weights):
                variable.assign(random.normal(size=variable.shape))
            assert convolution.dilation == weights["dilation"]
            weights["weight"].assign(convolution.kernel[tf.newaxis])
            weights["bias"].assign(convolution.bias)
            weights["gamma"].assign(norm.gamma)
            weights["beta"].assign(norm.beta)
    ids = tf.constant(random.integers(1, 101, (4, 6)), tf.int32)
    np.testing.assert_allclose(release.hidden(ids), ours.trunk(ids), rtol=1e-3, atol=1e-4)


def test_generated_impressions_have_the_published_columns_in_both_domains(tmp_path):
    data = generated_impressions.prepare(tmp_path / "data", DataSizes(impressions=150))
    assert data.field_sizes == FIELD_SIZES
    for domain in ("source", "target"):
        assert data.num_examples("impression", "train", domain=domain) == 150
        (batch,) = data.batches("impression", "train", batch_size=150, seed=0, domain=domain).take(
            1
        )
        assert batch["categorical"].shape == (150, 16)
        assert batch["numerical"].shape == (150, 63)
        greatest = tf.reduce_max(batch["categorical"], 0).numpy()
        assert np.all(greatest < FIELD_SIZES)
        assert np.all(greatest > 0)
        assert 0 < tf.reduce_sum(batch["click"]) < 75


def test_operations_of_the_convolutions_leave_padding_out(tmp_path):
    system = SYSTEMS["peterrec"]
    config = dataclasses.replace(CONFIG, dilations=(2,))
    data = generated_data.prepare(tmp_path / "data", SIZES, ["next_item"])
    stage = system.stages(config)[0]
    measured = kernels.convolutions(config, data, stage)
    # Length 6: dilation 2 reads 6 + 4 + 2 items, dilation 4 reads 6 + 2 and nothing 8 back.
    multiply_adds = 16 * 8 * 8 * (12 + 8)
    assert measured["convolutions"].flops == 3 * 2 * multiply_adds
    # Two layers of [16 * 6, 3 * 8] by [3 * 8, 8], forward and twice backward.
    assert measured["matrix products"].flops == 2 * 3 * 2 * 96 * 24 * 8
    for kernel in measured.values():
        kernel.run()


def test_operations_of_matrix_products_with_their_gradients():
    kernel = tf.Variable(tf.ones((3, 5)))
    bank = tf.Variable(tf.ones((2, 5, 7)))

    def gradients(batch):
        with tf.GradientTape() as tape:
            hidden = tf.matmul(batch["rows"], kernel)
            outputs = tf.matmul(tf.stack([hidden, hidden]), bank)
        return tape.gradient(outputs, [kernel, bank])

    # Forward, and by the kernel; nothing asks for the gradient by the rows. The second layer's
    # two products need all three.
    multiply_adds = 2 * 4 * 3 * 5 + 3 * 2 * 4 * 5 * 7
    assert matrix_products.count_flops(gradients, {"rows": tf.ones((4, 3))}) == 2 * multiply_adds


def test_the_first_layer_of_all_experts_is_the_measure_of_products():
    config = DaaConfig(embedding_size=4, experts=3, bottom_widths=(6, 5), source_batch_size=8)
    stage = SYSTEMS["daa"].stages(config)[0]
    data = types.SimpleNamespace(field_sizes=FIELD_SIZES)
    (kernel,) = kernels.first_layer(config, data, stage).values()
    # [8, (16 + 1) * 4] by [68, 3 * 6], forward and twice backward.
    assert kernel.flops == 3 * 2 * 8 * 68 * 18
    kernel.run()


@pytest.mark.parametrize("settings", [{"stage": "adapt"}, {"backbone": "ple"}])
def test_pytorch_refuses_another_stage_and_other_backbones_of_daa(settings):
    plan = Plan("daa", settings.pop("stage", "source"), DaaConfig(**settings), SIZES, True)
    with pytest.raises(ValueError, match=r"--daa\.backbone=sharedbottom or mmoe"):
        line_up.parse(plan, "pytorch")


@pytest.mark.parametrize("backbone", ["sharedbottom", "mmoe"])
def test_daa_in_pytorch_has_the_same_parameters(backbone, tmp_path):
    pytest.importorskip("torch", reason="the contender is a model of PyTorch")
    config = DaaConfig(
        backbone=backbone,
        embedding_size=4,
        experts=3,
        bottom_widths=(6, 5),
        tower_widths=(4, 3),
        source_batch_size=8,
    )
    plan = Plan("daa", "source", config, SIZES, True)
    started = line_up.parse(plan, "pytorch").start(tmp_path, sys.executable)
    process = ContenderProcess(*started)
    try:
        assert process.seconds("step", 1) > 0
    finally:
        process.kill()
    ours = TaskModel(config, FIELD_SIZES, len(COLUMNS.numerical))
    assert process.facts["parameters"] == sum(
        w.shape.num_elements() for w in ours.trainable_variables
    )


def test_a_turn_holds_whole_cycles(tmp_path):
    # Its clock goes on by 3 at every third repetition, and else stands still.
    script = tmp_path / "cycling.py"
    script.write_text(
        "import itertools, time\n"
        "from launchers.benchmarking.peers.child_process import Workload, serve\n"
        "passed, costs = [0], itertools.cycle([0, 0, 3])\n"
        "time.perf_counter = lambda: passed[0]\n"
        "def step():\n"
        "    passed[0] += next(costs)\n"
        "serve(lambda told: Workload({'step': step}, lambda: None, {}, cycles={'step': 3}))\n"
    )
    process = ContenderProcess([sys.executable, str(script)], {}, {})
    try:
        assert process.seconds("step", 1) == 1
        assert process.seconds("step", 4) == 4
    finally:
        process.kill()


def test_a_contender_that_fails_says_why(tmp_path):
    script = tmp_path / "contender.py"
    script.write_text("import sys\nsys.exit(3)\n")
    with pytest.raises(RunError, match="status 3"):
        ContenderProcess([sys.executable, str(script)], {}, {})
    with pytest.raises(RunError, match="no-such-python"):
        ContenderProcess([str(tmp_path / "no-such-python")], {}, {})


def test_a_missing_peer_names_the_extra(tmp_path):
    # A module of that name that cannot be imported, whatever is installed.
    (tmp_path / "recbole.py").write_text("raise ImportError('no module')\n")
    command, settings, _ = line_up.parse(PLAN, "recbole").start(tmp_path, sys.executable)
    # `-c` puts the stand-in before the installed packages.
    run = (
        f"import runpy, sys; sys.path[:0] = [{str(tmp_path)!r}, {command[1].rpartition('/')[0]!r}]"
        f"; runpy.run_path({command[1]!r}, run_name='__main__')"
    )
    with pytest.raises(RunError, match=r"tfcdr\[benchmark\]"):
        ContenderProcess([sys.executable, "-c", run], settings, {})
