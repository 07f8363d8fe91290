"""Labels of one task by groups of rows: figures, gains, and what has no value."""

import math

import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import roc_auc_score

from tfcdr.data_source import ViewRequest
from tfcdr.distribution.one_device import ONE_DEVICE, Distribution
from tfcdr.errors import RunError
from tfcdr.label_prediction.evaluator import LabelEvaluationOptions, LabelEvaluator, monitors
from tfcdr.label_prediction.model import MODEL, LabelModel
from tfcdr.row_groups import COLD_AND_WARM, RowGroups
from tfcdr.stage import Stage

VIEW = ViewRequest("behaviours", {})
STAGE = Stage(name="fit", training=VIEW, evaluation=VIEW, batch_size=8, epochs=1, patience=1)
EFFECT = RowGroups("effect", {"with effect": 1, "without effect": 0, "unheard of": 9})
TASKS = ("liked",)


class Behaviours:
    """Held-out rows: what a perfect scorer would say is their `truth`."""

    def __init__(self, rows=53, liked=None):
        self.shared_readings = {}
        random = np.random.default_rng(3)
        truth = random.random(rows)
        self.columns = {
            "truth": truth.astype(np.float32),
            "liked": (random.random(rows) < truth if liked is None else np.full(rows, liked)),
            "cold": random.integers(0, 2, rows),
            "effect": np.arange(rows) % 3 == 0,
            "example_weight": np.ones(rows),
        }

    def num_examples(self, view, split, **options):
        return len(self.columns["truth"])

    def batches(self, view, split, *, batch_size, seed, epoch, rows, shuffled):
        assert not shuffled
        missing = -len(self.columns["truth"]) % batch_size
        arrays = {}
        for name, values in self.columns.items():
            dtype = np.int32 if name in ("cold", "effect") else np.float32
            arrays[name] = np.append(values, np.zeros(missing)).astype(dtype)
        first, last = rows
        batches = tf.data.Dataset.from_tensor_slices(arrays).batch(batch_size)
        return batches.map(lambda batch: {name: v[first:last] for name, v in batch.items()})


class Scorers(LabelModel):
    """Knows the truth with some noise; stands beside a scorer that knows nothing of cold rows."""

    def __init__(self, noise=0.0):
        super().__init__()
        self.noise = noise

    @property
    def batch_spec(self):
        return {}

    def compute_losses(self, batch):
        raise NotImplementedError

    def scorers(self):
        def own(batch):
            return self.noise / 2 + (1 - self.noise) * batch["truth"][:, tf.newaxis]

        def warm_alone(batch):
            cold = tf.cast(batch["cold"], tf.float32)[:, tf.newaxis]
            return cold * 0.5 + (1 - cold) * own(batch)

        return {MODEL: own, "warm alone": warm_alone}


def evaluator(data, groups=(COLD_AND_WARM, EFFECT), distribution=ONE_DEVICE, **options):
    settings = LabelEvaluationOptions(**options)
    return LabelEvaluator(TASKS, data, settings, distribution, groups)


@pytest.mark.parametrize("batch_size", [7, 100])
def test_every_group_by_scikit_learn(batch_size):
    data = Behaviours()
    judge = evaluator(data, batch_size=batch_size)
    rows = judge.table(judge.scores(STAGE, Scorers(), "test"))
    table = {(row["group"], row["scorer"]): row for row in rows}
    names = ["all", "cold", "warm", "with effect", "without effect", "unheard of"]
    assert list(dict.fromkeys(row["group"] for row in rows)) == names
    cold = data.columns["cold"] == 1
    liked, truth = data.columns["liked"], data.columns["truth"]
    for group, chosen in (("all", cold | ~cold), ("cold", cold), ("warm", ~cold)):
        row = table[group, MODEL]
        assert (row["rows"], row["positives"]) == (chosen.sum(), liked[chosen].sum())
        assert row["AUC"] == pytest.approx(roc_auc_score(liked[chosen], truth[chosen]))
    assert table["cold", "warm alone"]["AUC"] == 0.5
    assert table["unheard of", MODEL]["rows"] == 0
    assert math.isnan(table["unheard of", MODEL]["AUC"])
    assert len({tuple(row) for row in rows}) == 1  # equal keys
    lines = [text for text in judge.format_table(rows).splitlines() if "unheard of" in text]
    assert len(lines) == 3
    assert all(line.split()[-2:] == ["-", "-"] for line in lines)


def test_gains_by_group():
    data = Behaviours()
    judge = evaluator(data)
    scores = judge.scores(STAGE, Scorers(), "test")
    worse = scores._replace(probabilities={MODEL: scores.probabilities["warm alone"]})
    gains = judge.transfer_gains(scores, worse, seed=0)
    assert gains["warm"].gain == gains["warm"].low == 0
    cold = gains["cold"]
    assert cold.no_transfer == 0.5
    assert cold.gain == pytest.approx(cold.transfer - 0.5)
    assert cold.low < cold.gain < cold.high
    assert gains["all"].rows == 53 == gains["cold"].rows + gains["warm"].rows
    assert gains["unheard of"].rows == 0
    assert "no value over n = 0" in gains["unheard of"].verdict()


def test_processes_share_the_rows_of_groups():
    data, model = Behaviours(), Scorers()
    whole = evaluator(data, batch_size=15).scores(STAGE, model, "test")
    parts = []
    for worker in range(2):
        of_two = Distribution()
        of_two.num_workers, of_two.worker = 2, worker
        # What nobody adds up holds zeros where the other worker's rows are.
        judge = evaluator(data, distribution=of_two, batch_size=15)
        parts.append(judge.scores(STAGE, model, "test"))
    for column, expected in whole.groups.items():
        np.testing.assert_array_equal(sum(part.groups[column] for part in parts), expected)


@pytest.mark.parametrize("liked", [0, 1])
def test_one_class_is_refused_before_training(liked):
    with pytest.raises(RunError, match="the 53 validation rows are all alike in liked"):
        evaluator(Behaviours(liked=liked)).check_data(STAGE, "validation")
    evaluator(Behaviours(liked=liked)).check_data(STAGE, "test")


def test_monitors_are_those_of_the_tasks():
    assert monitors(TASKS) == ("AUC", "liked_AUC")
    headline = evaluator(Behaviours()).validation(STAGE, Scorers())
    assert headline["AUC"] == headline["liked_AUC"]


def test_a_probability_that_is_not_finite_names_its_row():
    data = Behaviours()
    data.columns["truth"][20] = np.inf
    with pytest.raises(RunError, match="model gives row 21 of split test no finite"):
        evaluator(data).scores(STAGE, Scorers(), "test")
