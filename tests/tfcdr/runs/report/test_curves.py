"""Pictures of a run's epochs show its lines, stage by stage."""

import numpy as np
import pandas as pd

from tfcdr.runs.report import curves

TERMS = ("click_loss", "conversion_loss", "adversarial_loss", "critic_loss", "gradient_penalty")


def epoch(number, score=0.5, **extra):
    return {"epoch": number, "loss": 1.0 / number, "validation": {"NDCG@10": score}, **extra}


def titles(figures):
    return [axes.get_title() for figure in figures for axes in figure.axes]


def test_curves_mark_the_best_epoch_and_leave_out_what_is_no_number():
    scores = (0.2, 0.4, 0.3, None)
    stages = {
        "pretrain": [epoch(1, 0.1)],
        "finetune": [epoch(number, score) for number, score in enumerate(scores, start=1)],
    }
    drawn = curves.curves(stages, "NDCG@10")
    assert titles(drawn) == [
        "pretrain: training loss",
        "pretrain: validation NDCG@10",
        "finetune: training loss",
        "finetune: validation NDCG@10",
    ]
    line, best = drawn[3].axes[0].lines
    np.testing.assert_array_equal(line.get_ydata(), [0.2, 0.4, 0.3, np.nan])
    assert (list(best.get_xdata()), list(best.get_ydata())) == ([2], [0.4])


def test_what_is_fitted_as_a_whole_has_no_curve_of_a_loss():
    lines = [{"epoch": 1, "validation": {"NDCG@10": 0.1}}]
    assert titles(curves.curves({"fit": lines}, "NDCG@10")) == ["fit: validation NDCG@10"]


def test_loss_terms_are_what_a_stage_reports_besides_its_loss():
    lines = []
    for number in (1, 2):
        terms = {name: number + place / 10 for place, name in enumerate(TERMS)}
        if number == 1:
            terms["critic_loss"] = None  # It was not a number.
        lines.append(epoch(number, **terms, seconds=12.5, examples_per_second=900.0))
    terms = curves.loss_terms({"pretrain": [epoch(1)], "adapt": lines})
    assert list(terms) == [("adapt", term) for term in TERMS]
    assert terms["adapt", "adversarial_loss"].to_dict() == {1: 1.2, 2: 2.2}
    assert curves.loss_terms({"pretrain": [epoch(1)]}) == {}
    assert titles(curves.draw_panels(terms)) == [
        f"adapt: {term.replace('_', ' ')}" for term in TERMS
    ]


def test_figures_of_steps_are_found_by_name():
    figures = [{"weight_norm": 0.5}, {"weight_norm": None, "outer/loss": 2.0}]
    lines = [epoch(number, figures=of) for number, of in enumerate(figures, start=1)]
    found = curves.figures({"finetune": [epoch(1)], "adapt": lines})
    assert list(found) == [("adapt", "weight_norm"), ("adapt", "outer/loss")]
    np.testing.assert_array_equal(found["adapt", "weight_norm"], [0.5, np.nan])
    np.testing.assert_array_equal(found["adapt", "outer/loss"], [np.nan, 2.0])


def test_figures_of_one_family_share_a_picture():
    series = {
        ("train", "weight[toys]"): pd.Series([0.2, 0.1], [1, 2]),
        ("train", "norm"): pd.Series([3.0, 2.0], [1, 2]),
        ("train", "weight[$games$]"): pd.Series([0.8, 0.9], [1, 2]),
    }
    drawn = curves.draw_panels(series)
    assert titles(drawn) == ["train: weight", "train: norm"]
    weights, norm = (figure.axes[0] for figure in drawn)
    assert [line.get_label() for line in weights.lines] == ["toys", "$games$"]
    assert [text.get_text() for text in weights.get_legend().get_texts()] == ["toys", "$games$"]
    assert norm.get_legend() is None


def test_members_of_a_family_share_a_picture_the_outermost_if_they_are_many():
    lines = {
        ("train", f"weight[{name}]"): pd.Series([1.0, value], index=[1, 2])
        for value, name in enumerate("abcdefghij")
    }
    (figure,) = curves.draw_panels(lines)
    shown = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert shown == ["j", "i", "h", "g", "d", "c", "b", "a"]
