"""The report shows what the run's files hold."""

import html.parser

import matplotlib.figure
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tfcdr.report_section import Section, sample_rows, table_html
from tfcdr.runs import report
from tfcdr.runs.run_folder import RunFolder
from tfcdr.transfer_gain import TransferGain


class Page(html.parser.HTMLParser):
    """What a browser makes of a page: its pictures, and cells (text, rowspan) by row."""

    def __init__(self, text):
        super().__init__()
        self.sources, self.rows, self._in_cell = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.sources.append(dict(attrs)["src"])
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self._in_cell = True
            self.rows[-1].append(["", int(dict(attrs).get("rowspan", 1))])
        elif tag == "br":
            self.rows[-1][-1][0] += "\n"

    def handle_endtag(self, tag):
        self._in_cell = self._in_cell and tag not in ("td", "th")

    def handle_data(self, data):
        if self._in_cell:
            self.rows[-1][-1][0] += data


def epoch(stage, number, loss, score):
    return {"stage": stage, "epoch": number, "loss": loss, "validation": {"NDCG@10": score}}


def finished(path, **extra):
    folder = RunFolder(path)
    folder.claim({"system": "peterrec", "config": {"channels": 64, "loss": "<bce>"}})
    folder.add_epoch(epoch("pretrain", 1, 5.0, 0.1))
    for number, score in enumerate((0.2, 0.4, 0.3), start=1):
        folder.add_epoch(epoch("finetune", number, 1.0 / number, score))
    rows = [{"protocol": "full", "group": "all", "scorer": "model", "NDCG@10": 0.31234}]
    tables = {"validation": rows, "test": rows}
    folder.finish({"stages": {"pretrain": {}, "finetune": {}}, "tables": tables, **extra})
    return folder


def test_page_holds_figures_and_finds_its_pictures(tmp_path):
    gain = dict(zip(("metric", "transfer", "no_transfer"), ("NDCG@10", 0.4, 0.3), strict=True))
    gain |= {"gain": 0.1, "low": 0.05, "high": 0.15, "rows": 70}
    # A group without a row: null stands for what is not a number.
    nobody = {**dict.fromkeys(gain), "metric": "NDCG@10", "rows": 0}
    gains = {"transfer": gain, "transfer_groups": {"cold": nobody}}
    page = report.write(finished(tmp_path / "run", **gains), "NDCG@10", ())
    text = page.read_text()
    assert "transfer helped" in text
    assert "cold: n = 0" in text
    assert "0.3123" in text
    assert "&lt;bce&gt;" in text  # settings are text, never markup
    assert Page(text).sources == ["gains.png", "curves.png"]
    for name in ("curves.png", "gains.png"):
        assert (page.parent / name).read_bytes().startswith(b"\x89PNG")


def test_gains_are_drawn_with_their_intervals_and_say_who_is_hurt():
    def gain(low, high):
        return TransferGain("NDCG@10", 0.4, 0.3, (low + high) / 2, low, high, 70)

    gains = {"all": gain(0.1, 0.3), "$toys$": gain(-0.4, -0.2), "games": gain(-0.1, 0.1)}
    (axes,) = report.gains_figure(gains).axes
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels == ["all (n = 70)", "$toys$ (n = 70)", "games (n = 70)"]
    points = [bars.lines[0] for bars in axes.containers]
    assert [float(point.get_xdata()[0]) for point in points] == pytest.approx([0.2, -0.3, 0.0])
    assert [point.get_color() for point in points] == ["tab:green", "tab:red", "0.5"]
    assert axes.get_xlabel() == "gain in test NDCG@10"


def test_figures_of_one_family_share_a_panel():
    series = {
        ("train", "weight[toys]"): pd.Series([0.2, 0.1], [1, 2]),
        ("train", "norm"): pd.Series([3.0, 2.0], [1, 2]),
        ("train", "weight[$games$]"): pd.Series([0.8, 0.9], [1, 2]),
    }
    weights, norm = report.draw_panels(series).axes
    assert [axes.get_title() for axes in (weights, norm)] == ["train: weight", "train: norm"]
    assert [line.get_label() for line in weights.lines] == ["toys", "$games$"]
    assert [text.get_text() for text in weights.get_legend().get_texts()] == ["toys", "$games$"]
    assert norm.get_legend() is None


def test_curves_mark_the_best_epoch(tmp_path):
    folder = finished(tmp_path / "run")
    stages = {stage: folder.epochs(stage) for stage in ("pretrain", "finetune")}
    figure = report.curves(stages, "NDCG@10")
    assert [axes.get_title() for axes in figure.axes] == [
        "pretrain: training loss",
        "pretrain: validation NDCG@10",
        "finetune: training loss",
        "finetune: validation NDCG@10",
    ]
    line, best = figure.axes[3].lines
    assert list(line.get_ydata()) == [0.2, 0.4, 0.3]
    assert (list(best.get_xdata()), list(best.get_ydata())) == ([2], [0.4])


def adapted(path):
    """A run whose second stage has losses with five terms, one of them not a number at first."""
    folder = finished(path)
    for number in (1, 2):
        line = epoch("adapt", number, 1.0, 0.5)
        terms = {name: number + place / 10 for place, name in enumerate(TERMS)}
        if number == 1:
            terms["critic_loss"] = float("nan")
        line |= {**terms, "seconds": 12.5, "examples_per_second": 900.0}
        folder.add_epoch(line)
    folder.finish({**folder.metrics(), "stages": {"pretrain": {}, "adapt": {}}})
    return folder


TERMS = ("click_loss", "conversion_loss", "adversarial_loss", "critic_loss", "gradient_penalty")


def test_loss_terms_are_what_a_stage_reports_besides_its_loss(tmp_path):
    folder = adapted(tmp_path / "run")
    stages = {stage: folder.epochs(stage) for stage in ("pretrain", "adapt")}
    terms = report.loss_terms(stages)
    assert list(terms) == [("adapt", term) for term in TERMS]
    assert terms["adapt", "adversarial_loss"].to_dict() == {1: 1.2, 2: 2.2}
    assert report.loss_terms({"pretrain": stages["pretrain"]}) == {}


def test_every_loss_term_has_a_panel(tmp_path):
    terms = {
        ("pretrain", "ranking_loss"): pd.Series([3.0, 2.0], [1, 2]),
        **{("adapt", term): pd.Series([1.0, 5.0, 4.0], [1, 2, 3]) for term in TERMS},
    }
    figure = report.draw_panels(terms)
    assert [axes.get_title() for axes in figure.axes] == [
        "pretrain: ranking loss",
        "adapt: click loss",
        "adapt: conversion loss",
        "adapt: adversarial loss",
        "adapt: critic loss",
        "adapt: gradient penalty",
    ]
    line = figure.axes[-1].lines[0]
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([1, 2, 3], [1.0, 5.0, 4.0])
    # A stage begins a new row of panels.
    tops = [round(axes.get_position().y1, 3) for axes in figure.axes]
    assert len(set(tops[1:4])) == 1 and len(set(tops)) == 3


def test_page_shows_the_loss_terms_behind_the_curves(tmp_path):
    page = report.write(adapted(tmp_path / "run"), "NDCG@10", ())
    assert Page(page.read_text()).sources == ["curves.png", "losses.png"]
    assert (page.parent / "losses.png").read_bytes().startswith(b"\x89PNG")


def picture(height):
    figure = matplotlib.figure.Figure((2, height))
    figure.subplots().plot([1, 2])
    return figure


def test_sections_are_drawn_below_their_headings_and_say_how_to_read_them(tmp_path):
    table = pd.DataFrame({"AUC": [0.75], "domain": ["US"]})
    sections = (
        Section("features", "Features", "Near is <similar>.", picture(1)),
        Section("domains", "Domains & AUC", "More is better.", table),
    )
    folder = finished(tmp_path / "run")
    page = report.write(folder, "NDCG@10", sections)
    text = page.read_text()
    assert Page(text).sources == ["curves.png", "features.png"]
    assert (page.parent / "features.png").read_bytes().startswith(b"\x89PNG")
    places = [
        text.index(part)
        for part in (">Features<", "Near is &lt;similar&gt;.", ">Domains &amp; AUC<", "More is")
    ]
    assert places == sorted(places)
    table = Page(text[places[2] :]).rows[:2]
    assert [[cell for cell, _ in row] for row in table] == [["AUC", "domain"], ["0.7500", "US"]]


def test_a_report_is_drawn_again_over_the_one_that_is_there(tmp_path):
    folder = finished(tmp_path / "run")
    pictures = []
    for height in (1, 3):
        report.write(folder, "NDCG@10", (Section("one", "One", "Look.", picture(height)),))
        pictures.append((tmp_path / "run" / "report" / "one.png").read_bytes())
    assert pictures[0] != pictures[1]


def test_rows_with_the_same_index_share_its_cells():
    index = pd.MultiIndex.from_tuples(
        [("ann", "a"), ("ann", "a"), ("bob", "a"), ("ann", "a")], names=("user", "item")
    )
    rows = Page(table_html(pd.DataFrame({"n": [1, 2, 3, 4]}, index))).rows
    assert rows == [
        [["user", 1], ["item", 1], ["n", 1]],
        [["ann", 2], ["a", 2], ["1", 1]],
        [["2", 1]],
        [["bob", 1], ["a", 1], ["3", 1]],
        [["ann", 1], ["a", 1], ["4", 1]],
    ]


def test_cells_are_text_whatever_they_hold_and_long_ones_stay_whole():
    hostile, long = "<script>alert('&amp;')</script>", "word " * 40 + "end"
    index = pd.Index([hostile, "two\nlines"], name="<b>")
    text = table_html(pd.DataFrame({"<i>": [long, hostile]}, index))
    assert "<script>" not in text
    assert [[cell for cell, _ in row] for row in Page(text).rows] == [
        ["<b>", "<i>"],
        [hostile, long],
        ["two\nlines", hostile],
    ]


def batches_of(weights, batch_size):
    rows = {"user": np.arange(len(weights)), "example_weight": np.array(weights, np.float32)}
    return tf.data.Dataset.from_tensor_slices(rows).batch(batch_size)


@pytest.mark.parametrize("batch_size", [3, 40])
def test_a_sample_has_no_row_twice_and_none_of_weight_0(batch_size):
    weights = [float(row % 4 > 0) for row in range(40)]
    users = sample_rows(batches_of(weights, batch_size), ["user"], 10, seed=1)["user"]
    assert len(set(users.tolist())) == 10
    assert (users % 4 > 0).all()
    assert (np.diff(users) > 0).all()


def test_a_sample_of_more_rows_than_there_are_is_all_of_them():
    assert sample_rows(batches_of([1, 0, 1, 1], 2), ["user"], 10, 0)["user"].tolist() == [0, 2, 3]


def test_a_sample_follows_from_its_seed_and_takes_every_row_as_often():
    samples = [
        tuple(sample_rows(batches_of([1] * 8, 3), ["user"], 2, seed)["user"])
        for seed in (*range(200), 0)
    ]
    assert samples[0] == samples[-1]
    counts = np.bincount(np.ravel(samples[:-1]))
    # 200 draws of 2 of 8: 50 each, standard deviation 6.
    assert counts.min() > 25 and counts.max() < 75


def test_figures_of_steps_get_panels_of_their_own(tmp_path):
    folder = finished(tmp_path / "run")
    for number, norm in ((1, 0.5), (2, None), (3, 0.25)):  # null: it was not a number
        figures = {"weight_norm": norm, **({"outer/loss": 2.0} if number > 1 else {})}
        folder.add_epoch({**epoch("adapt", number, 1.0, 0.5), "figures": figures})
    folder.finish({**folder.metrics(), "stages": {"finetune": {}, "adapt": {}}})
    stages = {stage: folder.epochs(stage) for stage in ("finetune", "adapt")}
    found = report.figures(stages)
    assert list(found) == [("adapt", "weight_norm"), ("adapt", "outer/loss")]
    np.testing.assert_array_equal(found["adapt", "weight_norm"], [0.5, np.nan, 0.25])
    np.testing.assert_array_equal(found["adapt", "outer/loss"], [np.nan, 2.0, 2.0])
    page = report.write(folder, "NDCG@10", ())
    assert Page(page.read_text()).sources == ["curves.png", "figures.png"]
    titles = [axes.get_title() for axes in report.draw_panels(found).axes]
    assert titles == ["adapt: weight norm", "adapt: outer/loss"]


def test_curves_leave_out_scores_that_are_no_numbers(tmp_path):
    folder = finished(tmp_path / "run")
    folder.add_epoch(epoch("finetune", 4, 1.0, float("nan")))
    figure = report.curves({"finetune": folder.epochs("finetune")}, "NDCG@10")
    line, best = figure.axes[1].lines
    np.testing.assert_array_equal(line.get_ydata(), [0.2, 0.4, 0.3, np.nan])
    assert list(best.get_ydata()) == [0.4]


def test_members_of_a_family_share_a_panel_the_outermost_if_they_are_many():
    lines = {
        ("train", f"weight[{name}]"): pd.Series([1.0, value], index=[1, 2])
        for value, name in enumerate("abcdefghij")
    }
    (axes,) = report.draw_panels(lines).axes
    assert axes.get_title() == "train: weight"
    shown = [text.get_text() for text in axes.get_legend().get_texts()]
    assert shown == ["j", "i", "h", "g", "d", "c", "b", "a"]
