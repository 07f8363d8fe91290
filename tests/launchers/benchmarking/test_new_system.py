"""A system that no file of the benchmark knows is measured by what it declares."""

import dataclasses
import sys

import pytest
import tensorflow as tf

from launchers.benchmarking import line_up, training
from launchers.benchmarking.contender_process import ContenderProcess
from launchers.benchmarking.generated.generator import DataSizes
from launchers.benchmarking.line_up import Plan
from tfcdr.benchmark import (
    MATRIX_PRODUCTS,
    Benchmark,
    HistorySizes,
    Invocation,
    Peer,
    matrix_products,
)
from tfcdr.data_source import ViewRequest
from tfcdr.stage import Feed, PeriodicStep, Stage
from tfcdr.stage_model import MODEL_OPTIMIZER, StageModel, StepReport
from tfcdr.system import System
from tfcdr.systems.registry import SYSTEMS

BATCH = 8
SIZES = DataSizes(items=100, length=6, users=120)


@dataclasses.dataclass(frozen=True)
class ToyConfig:
    width: int = 4


class ToyModel(StageModel):
    """Predicts each item from the one before it."""

    def __init__(self, width, rows):
        super().__init__()
        self.table = self.add_weight(name="table", shape=(rows, width))

    @property
    def batch_spec(self):
        return {"items": tf.TensorSpec([None, None], tf.int32)}

    def compute_losses(self, batch):
        before = tf.reshape(
            tf.gather(self.table, batch["items"][:, :-1]), (-1, self.table.shape[1])
        )
        labels = tf.reshape(batch["items"][:, 1:], (-1,))
        logits = tf.matmul(before, self.table, transpose_b=True)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        return StepReport({"loss": tf.reduce_mean(losses)})


class ToyBenchmark(Benchmark):
    peers = (
        Peer(
            name="handwritten",
            program="handwritten_toy",
            invoke=lambda stage, config, sizes, settings: Invocation(
                {"batch_size": stage.batch_size, "width": config.width, **sizes._asdict()},
                {"TOY_SPEED": settings["speed"]},
            ),
            stages=("train",),
            fields={"width": (2, 4)},
            settings={"speed": ("slow", "fast")},
        ),
    )

    def kernels(self, config, data, stage):
        rows = data.vocabulary("source").rows
        return {MATRIX_PRODUCTS: matrix_products([(BATCH * data.max_length, config.width, rows)])}


class Toy(System):
    name = "toy"
    log = "interactions"
    config_class = ToyConfig
    benchmark = ToyBenchmark()

    def stages(self, config):
        view = ViewRequest("next_item", {})
        return (
            Stage(
                name="train",
                training=view,
                evaluation=view,
                batch_size=BATCH,
                epochs=1,
                patience=1,
            ),
        )

    def build(self, stage, config, data, seed):
        return ToyModel(config.width, data.vocabulary("source").rows)

    def optimizers(self, stage, config):
        return {MODEL_OPTIMIZER: tf.keras.optimizers.Adam()}

    def evaluator(self, data, options, distribution):
        raise NotImplementedError("the benchmark evaluates nothing")

    def export(self, config, model, data, export_dir, serving):
        raise NotImplementedError("the benchmark exports nothing")

    def without_transfer(self, config):
        raise NotImplementedError("the benchmark compares no metrics")


@pytest.fixture
def plan(monkeypatch):
    monkeypatch.setitem(SYSTEMS, "toy", Toy())
    return Plan("toy", "train", ToyConfig(), SIZES, jit_compile=True)


def test_its_stage_is_measured_with_its_kernels(plan, tmp_path):
    _, settings, _ = line_up.tfcdr(plan).start(tmp_path, "python")
    assert settings["system"] == "toy"
    workload = training.set_up(settings)
    assert list(workload.parts) == [
        *("step", "forward", "gradients", "pipeline", "training", MATRIX_PRODUCTS)
    ]
    for part in workload.parts.values():
        part()
    assert workload.facts["inputs"] == "length 6, 100 items"
    # [8 * 6, 4] by [4, 103], forward and backward: the kernel's product is the step's only one.
    assert workload.facts["kernel_flops"] == {MATRIX_PRODUCTS: 3 * 2 * 48 * 4 * 103}
    assert workload.facts["product_flops"] == 3 * 2 * 48 * 4 * 103


def test_its_peer_is_a_program_of_its_own(plan, tmp_path, monkeypatch):
    (tmp_path / "handwritten_toy.py").write_text(
        "import os\n"
        "from launchers.benchmarking.peers.child_process import Workload, serve\n"
        "def set_up(told):\n"
        "    facts = {**told, 'parts': ['step'], 'speed': os.environ['TOY_SPEED']}\n"
        "    return Workload({'step': lambda: None}, lambda: None, facts)\n"
        "serve(set_up)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert "handwritten" in line_up.names()
    assert line_up.settings_of_peers()["handwritten"] == ("speed",)
    entry = line_up.parse(plan, "handwritten speed=fast")
    process = ContenderProcess(*entry.start(tmp_path, sys.executable))
    try:
        assert process.seconds("step", 1) >= 0
    finally:
        process.kill()
    sizes = HistorySizes(items=100, length=6, users=120, categories=20)
    expected = {"batch_size": BATCH, "width": 4, **sizes._asdict()}
    assert process.facts == {**expected, "parts": ["step"], "speed": "fast"}


def test_its_peer_says_which_work_it_does(plan):
    other = dataclasses.replace(plan, config=ToyConfig(width=8))
    with pytest.raises(ValueError, match=r"--system=toy --stage=train --toy\.width=2 or 4\."):
        line_up.parse(other, "handwritten")
    with pytest.raises(ValueError, match="speed must be one of slow, fast, not 'furious'"):
        line_up.parse(plan, "handwritten speed=furious")


def test_peers_of_others_are_not_its_own(plan):
    with pytest.raises(ValueError, match="release does not do the work"):
        line_up.parse(plan, "release")


class RefreshedModel(ToyModel):
    """Counts its periodic steps, and the rows that they read."""

    def __init__(self, width, rows):
        super().__init__(width, rows)
        self.refreshed, self.rows = (tf.Variable(0, trainable=False) for _ in range(2))

    def periodic_step(self, name, feeds):
        assert name == "refresh"
        self.refreshed.assign_add(1)
        self.rows.assign_add(tf.size(feeds["latest"]["items"][..., 0]))
        return StepReport({"loss": tf.constant(0.0)})


class Refreshed(Toy):
    """A toy with a step behind every three."""

    benchmark = Benchmark()

    def stages(self, config):
        (stage,) = super().stages(config)
        feed = Feed(stage.training, batch_size=4, batches=2)
        step = PeriodicStep("refresh", every=3, feeds={"latest": feed}, first_epoch=2)
        return (dataclasses.replace(stage, periodic_steps=(step,)),)

    def build(self, stage, config, data, seed):
        self.model = RefreshedModel(config.width, data.vocabulary("source").rows)
        return self.model


def test_its_periodic_steps_are_made_as_in_a_run(tmp_path, monkeypatch):
    system = Refreshed()
    monkeypatch.setitem(SYSTEMS, "toy", system)
    plan = Plan("toy", "train", ToyConfig(), SIZES, jit_compile=True)
    _, settings, _ = line_up.tfcdr(plan).start(tmp_path, "python")
    workload = training.set_up(settings)
    assert list(workload.parts) == [
        *("step", "train step", "forward", "gradients", "refresh", "pipeline", "training")
    ]
    assert workload.cycles == {"step": 3, "training": 3}
    assert workload.facts["periodic_steps"] == ["refresh"]
    for part, made in (("step", 2), ("train step", 0), ("refresh", 6), ("training", 2)):
        before = [system.model.refreshed.numpy(), system.model.rows.numpy()]
        for _ in range(6):
            workload.parts[part]()
        assert system.model.refreshed.numpy() - before[0] == made, part
        # Two batches of four rows each.
        assert system.model.rows.numpy() - before[1] == 8 * made, part
