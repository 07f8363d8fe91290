"""Bars of the page are the figures of metrics.json, with the intervals of the differences."""

import pytest

from tfcdr.runs.report import comparisons


def bar(model, other, low, high, rows=70, name="most popular"):
    figures = {"model": model, "of_bar": other, "gain": model - other, "low": low, "high": high}
    return {"bar": name, "metric": "NDCG@10", **figures, "rows": rows}


def transfer(model, other, low, high, rows=70, metric="NDCG@10"):
    figures = {"transfer": model, "no_transfer": other, "gain": model - other}
    return {"metric": metric, **figures, "low": low, "high": high, "rows": rows, "left_out": 0}


METRICS = {
    "tables": {"test": [{"protocol": "full", "group": "all", "scorer": "model"}]},
    "transfer": transfer(0.4, 0.3, 0.05, 0.15),
    # Null is what JSON has for a group without a row.
    "transfer_groups": {
        "toys": transfer(0.2, 0.5, -0.4, -0.2, rows=9),
        "cold": {**dict.fromkeys(transfer(0, 0, 0, 0)), "metric": "NDCG@10", "rows": 0},
    },
    "transfer_parts": {"pre-training": transfer(0.4, 0.41, -0.1, 0.05)},
    "bars": {"most popular": {"all": bar(0.4, 0.2, 0.1, 0.3), "toys": bar(0.2, 0.2, 0, 0, 9)}},
}


def test_a_group_has_the_model_and_all_that_stands_beside_it():
    chart = comparisons.chart(METRICS, "NDCG@10")
    assert (chart.metric, chart.origin, chart.end) == ("NDCG@10", 0, pytest.approx(0.6))
    assert [(group.name, group.rows) for group in chart.groups] == [("all", 70), ("toys", 9)]
    of_all, toys = ({each.name: each for each in group.compared} for group in chart.groups)
    assert list(of_all) == ["the model", "without transfer", "without pre-training", "most popular"]
    assert list(toys) == ["the model", "without transfer", "most popular"]
    assert of_all["the model"].value == 0.4 and not of_all["the model"].has_interval


def test_an_interval_holds_the_model_where_nothing_can_be_said():
    chart = comparisons.chart(METRICS, "NDCG@10")
    of_all, toys = ({each.name: each for each in group.compared} for group in chart.groups)
    alone = of_all["without transfer"]
    assert (alone.low, alone.value, alone.high) == pytest.approx((0.25, 0.3, 0.35))
    outcomes = {name: each.outcome for name, each in of_all.items()}
    assert outcomes == {
        "the model": "",
        "without transfer": "model better",
        "without pre-training": "no measurable difference",
        "most popular": "model better",
    }
    assert toys["without transfer"].outcome == "MODEL WORSE"
    assert toys["most popular"].outcome == "the same"


def test_labels_stand_beside_the_scorers_of_their_tables_and_begin_at_chance():
    rows = [
        {"task": task, "group": "all", "scorer": scorer, "rows": 40, "AUC": auc}
        for task, aucs in (("click", (0.8, 0.5)), ("conversion", (0.7, 0.5)))
        for scorer, auc in zip(("model", "constant"), aucs, strict=True)
    ]
    chart = comparisons.chart({"tables": {"test": rows}}, "AUC")
    assert (chart.origin, chart.end) == (0.5, 0.75)
    (group,) = chart.groups
    values = {each.name: (each.value, each.outcome) for each in group.compared}
    assert values == {"the model": (0.75, ""), "constant": (0.5, "")}
    assert chart.share(0.625) == pytest.approx(50)
    assert comparisons.chart({"tables": {"test": rows}}, "click_AUC").end == 0.8


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            ("transfer", "bars"),
            "The transfer helped: test NDCG@10 is 0.4000 with it and 0.3000 without; the model is "
            "above most popular.",
        ),
        (
            ("transfer",),
            "The transfer helped: test NDCG@10 is 0.4000 with it and 0.3000 without.",
        ),
        (("bars",), "The model is above most popular: its test NDCG@10 is 0.4000."),
        ((), "Test NDCG@10 is 0.4100."),
    ],
)
def test_the_verdict_is_one_sentence(names, said):
    metrics = {"test": {"NDCG@10": 0.41}, **{name: METRICS[name] for name in names}}
    assert comparisons.sentence(metrics, "NDCG@10") == said


def test_a_run_without_figures_has_no_bars():
    metrics = {"tables": {"test": []}}
    assert comparisons.chart(metrics, "NDCG@10") is None
    assert comparisons.sentence(metrics, "NDCG@10") == "The run is finished."
