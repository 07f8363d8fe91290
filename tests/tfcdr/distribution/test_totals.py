"""Losses that are no single mean over a batch: replicas divide by the totals of all rows."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.end_to_end.launching import REPOSITORY
from tfcdr import optimizers
from tfcdr.stage_model import MODEL_OPTIMIZER, StageModel, StepReport


class PerDomain(StageModel):
    """The mean over two domains of each one's mean loss, and a sum over all rows."""

    def __init__(self):
        super().__init__(name="per_domain")
        self.centers = self.add_weight("centers", (2,), initializer="zeros")
        self.built = True

    @property
    def batch_spec(self):
        return {"number": tf.TensorSpec([None], tf.float32)}

    def batch_totals(self, batch):
        of_domains = tf.one_hot(batch["domain"], 2) * batch["example_weight"][:, tf.newaxis]
        return {"domains": tf.reduce_sum(of_domains, 0), "rows": tf.reduce_sum(of_domains)}

    def losses_of_rows(self, batch, totals):
        totals = self.batch_totals(batch) if totals is None else totals
        errors = tf.square(batch["number"] - tf.gather(self.centers, batch["domain"]))
        of_domains = tf.one_hot(batch["domain"], 2) * (errors * batch["example_weight"])[:, None]
        means = tf.math.divide_no_nan(tf.reduce_sum(of_domains, 0), totals["domains"])
        total = tf.reduce_sum(of_domains)
        figure = tf.math.divide_no_nan(total, totals["rows"])
        return StepReport(
            {"loss": tf.reduce_mean(means) + 0.01 * total, "sum": total}, {"row_mean": figure}
        )

    def compute_losses(self, batch):
        return self.losses_of_rows(batch, None)


def batch():
    return {
        "number": np.array([1, 2, 3, 4, 5, 6, 7, 8], np.float32),
        # The halves hold other shares of the domains; the second has none of domain 1.
        "domain": np.array([1, 0, 1, 1, 0, 0, 0, 0], np.int32),
        "example_weight": np.array([1, 1, 1, 0, 1, 1, 1, 1], np.float32),
    }


def one_device(jit_compile=False):
    model = PerDomain()
    model.compile({MODEL_OPTIMIZER: optimizers.adam(0.1)}, jit_compile=jit_compile)
    model.build_optimizers()
    return model


def test_parts_of_a_batch_add_up_to_it():
    model, rows = one_device(), batch()
    totals = model.batch_totals(rows)
    whole, slopes = model.loss_and_gradients(rows)
    parts = [
        {key: values[part] for key, values in rows.items()} for part in (slice(4), slice(4, 8))
    ]
    reports, of_parts = zip(
        *(model.loss_and_gradients(part, totals) for part in parts), strict=True
    )
    added = tf.nest.map_structure(lambda *values: sum(map(float, values)), *reports)
    assert added == tf.nest.map_structure(lambda value: pytest.approx(float(value)), whole)
    whole_slope, *of_parts = (
        tf.convert_to_tensor(slope) for slope in (slopes[0], of_parts[0][0], of_parts[1][0])
    )
    np.testing.assert_allclose(tf.add_n(of_parts), whole_slope, rtol=1e-6)


def test_several_totals_need_a_rule():
    class Undecided(PerDomain):
        losses_of_rows = StageModel.losses_of_rows

        def compute_losses(self, batch):
            return StepReport({"loss": tf.reduce_sum(self.centers)})

    model, rows = Undecided(), batch()
    with pytest.raises(NotImplementedError, match="Undecided has the totals domains, rows"):
        model.losses_of_rows(rows, model.batch_totals(rows))


# Two replicas of one process make three steps.
ON_TWO_DEVICES = """
import json, sys
import tfcdr
import tensorflow as tf
from tests.tfcdr.distribution import test_totals
from tfcdr import optimizers
from tfcdr.distribution import strategies
from tfcdr.stage_model import MODEL_OPTIMIZER

distribution = strategies.start("mirrored", timeout=10, cpu_devices=2)
with distribution.scope():
    model = test_totals.PerDomain()
    named = {MODEL_OPTIMIZER: optimizers.adam(0.1)}
    model.compile(named, jit_compile=sys.argv[1] == "True")
    model.build_optimizers()
assert distribution.num_replicas == 2
step = distribution.make_step(model)
batches = tf.data.Dataset.from_tensors(test_totals.batch()).unbatch().batch(8, True).repeat(3)
reports = []
for rows in distribution.distribute(batches):
    report = step(rows)
    reports.append({name: float(v) for name, v in {**report.losses, **report.figures}.items()})
print(json.dumps({"reports": reports, "centers": model.centers.numpy().tolist()}))
"""


def test_two_devices_make_the_steps_of_one(jit_compile):
    command = [sys.executable, "-c", ON_TWO_DEVICES, str(jit_compile)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    model = one_device(jit_compile)
    step = tf.function(model.train_step)
    for of_two in found["reports"]:
        report = step(tf.nest.map_structure(tf.constant, batch()))
        of_one = {name: float(v) for name, v in {**report.losses, **report.figures}.items()}
        assert of_two == pytest.approx(of_one, rel=1e-5)
    np.testing.assert_allclose(found["centers"], model.centers, rtol=1e-5)
