"""Exact figures over all rows, processes that share them, DeLong's interval."""

import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import log_loss, roc_auc_score

from tests.tfcdr.systems.daa.memory_impressions import MemoryImpressions
from tests.tfcdr.systems.daa.small import config
from tfcdr.distribution.one_device import ONE_DEVICE, Distribution
from tfcdr.errors import RunError
from tfcdr.label_prediction.evaluator import LabelEvaluationOptions, LabelEvaluator, LabelScores
from tfcdr.systems.daa.system import Daa

SYSTEM = Daa()


def evaluator(data, **options):
    return SYSTEM.evaluator(data, LabelEvaluationOptions(**options), ONE_DEVICE)


@pytest.mark.parametrize("batch_size", [7, 1000])
def test_figures_over_all_rows_at_once(batch_size):
    data, adapted = MemoryImpressions(target=90), config()
    stage = SYSTEM.stages(adapted)[1]
    model = SYSTEM.build("adapt", adapted, data, seed=0)
    judge = evaluator(data, batch_size=batch_size, chunk_rows=40)
    scores = judge.scores(stage, model, "test")
    rows = data.columns("target")
    expected = model.probabilities(rows["categorical"], rows["numerical"]).numpy()
    np.testing.assert_allclose(scores.probabilities["model"], expected, rtol=1e-5)
    headline, table = judge.headline(scores), judge.table(scores)
    for task, name in enumerate(("click", "conversion")):
        labels = rows[name]
        assert headline[f"{name}_AUC"] == pytest.approx(roc_auc_score(labels, expected[:, task]))
        of_scorers = {row["scorer"]: row for row in table if row["task"] == name}
        assert list(of_scorers) == ["model", "source model", "constant"]
        assert of_scorers["model"]["log loss"] == pytest.approx(
            log_loss(labels, expected[:, task].astype(np.float64)), rel=1e-5
        )
        assert of_scorers["constant"]["AUC"] == 0.5
        assert of_scorers["model"]["positives"] == labels.sum()
        chunks = [slice(0, 40), slice(40, 80), slice(80, 90)]
        of_chunks = [roc_auc_score(labels[part], expected[part, task]) for part in chunks]
        assert of_scorers["model"]["chunked AUC"] == pytest.approx(np.mean(of_chunks))
    mean = (headline["click_AUC"] + headline["conversion_AUC"]) / 2
    assert headline["AUC"] == pytest.approx(mean)
    assert "0.5000" in judge.format_table(table)


def test_processes_share_the_scoring():
    data, adapted = MemoryImpressions(target=53), config()
    stage = SYSTEM.stages(adapted)[1]
    model = SYSTEM.build("adapt", adapted, data, seed=0)
    options = LabelEvaluationOptions(batch_size=15)  # workers share batches of 16
    whole = SYSTEM.evaluator(data, options, ONE_DEVICE).scores(stage, model, "test")
    parts = []
    for worker in range(2):
        of_two = Distribution()
        of_two.num_workers, of_two.worker = 2, worker
        # What nobody adds up holds zeros where the other worker's rows are.
        parts.append(SYSTEM.evaluator(data, options, of_two).scores(stage, model, "test"))
    np.testing.assert_array_equal(parts[0].labels + parts[1].labels, whole.labels)
    for scorer, expected in whole.probabilities.items():
        own = [part.probabilities[scorer] for part in parts]
        assert all(not (one == 0).all() for one in own)
        np.testing.assert_allclose(own[0] + own[1], expected, rtol=1e-5)


def test_a_validation_without_conversions_says_what_to_do():
    data, stage = MemoryImpressions(20, 20, converts=False), SYSTEM.stages(config())[0]
    with pytest.raises(RunError, match=r"all alike in conversion.*validation_share"):
        evaluator(data).check_data(stage, "validation")
    evaluator(data).check_data(stage, "test")
    evaluator(data, monitor="click_AUC").check_data(stage, "validation")


def test_a_row_without_a_finite_probability_is_named():
    data, adapted = MemoryImpressions(), config()
    model = SYSTEM.build("source", adapted, data, seed=0)
    data.columns("source")["numerical"][7] = 3e38
    with pytest.raises(RunError, match="the model gives row 8 of split validation no finite"):
        evaluator(data).validation(SYSTEM.stages(adapted)[0], model)


def scores_of(labels, *columns):
    probabilities = np.stack(columns, 1).astype(np.float32)
    return LabelScores(np.stack([labels, labels], 1), {"model": probabilities}, {})


def test_transfer_gain_covers_what_resampling_finds():
    random = np.random.default_rng(0)
    labels = (random.random(600) < 0.3).astype(np.float32)
    good, bad = (labels * shift + random.normal(size=600) for shift in (1.0, 0.5))
    judge = evaluator(MemoryImpressions(), monitor="click_AUC")
    gain = judge.transfer_gains(scores_of(labels, good, good), scores_of(labels, bad, bad), seed=0)[
        "all"
    ]
    assert gain.metric == "click_AUC"
    assert gain.transfer == pytest.approx(roc_auc_score(labels, good.astype(np.float32)))
    assert gain.gain == pytest.approx(gain.transfer - gain.no_transfer)
    drawn = []
    for _ in range(400):
        rows = random.integers(0, 600, 600)
        drawn.append(
            roc_auc_score(labels[rows], good[rows]) - roc_auc_score(labels[rows], bad[rows])
        )
    half = (gain.high - gain.low) / 2
    assert half == pytest.approx(1.96 * np.std(drawn), rel=0.15)
    same = judge.transfer_gains(scores_of(labels, good, bad), scores_of(labels, good, bad), seed=0)[
        "all"
    ]
    assert same.gain == same.low == same.high == 0


@pytest.mark.parametrize(
    ("fields", "named"),
    [({"monitor": "NDCG@10"}, "monitor"), ({"batch_size": 0}, "batch_size"),
     ({"chunk_rows": -1}, "chunk_rows")],
)  # fmt: skip
def test_options_out_of_range_are_named(fields, named):
    with pytest.raises(ValueError, match=named):
        SYSTEM.check_evaluation(LabelEvaluationOptions(**fields))


def test_it_reads_with_the_stage_request():
    data = MemoryImpressions(20, 20)
    stage = SYSTEM.stages(config())[0]
    evaluator(data).check_data(stage, "validation")
    assert data.requests == [("impression", "validation", {"domain": "source"})]
    assert isinstance(evaluator(data), LabelEvaluator)
    assert tf.executing_eagerly()
