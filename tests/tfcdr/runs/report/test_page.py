"""The page shows what the run's files hold, in one file that loads no other."""

import matplotlib.figure
import pandas as pd
import pytest

from tests.tfcdr.runs.report.parsed_page import Page
from tfcdr.errors import RunError
from tfcdr.report_section import Section, ShownDomain, ShownUser
from tfcdr.runs import report
from tfcdr.runs.run_folder import RunFolder

GAIN = {"metric": "NDCG@10", "transfer": 0.4, "no_transfer": 0.3, "gain": 0.1}
GAIN |= {"low": 0.05, "high": 0.15, "rows": 70}


def finished(path, **extra):
    folder = RunFolder(path)
    folder.claim({"system": "peterrec", "config": {"channels": 64, "loss": "<bce>"}, "seed": 7})
    for number, score in enumerate((0.2, 0.4), start=1):
        line = {"stage": "finetune", "epoch": number, "loss": 1.0, "ranking_loss": 0.5}
        folder.add_epoch({**line, "figures": {"norm": 2.0}, "validation": {"NDCG@10": score}})
    rows = [
        {"protocol": "full", "group": "all", "scorer": scorer, "interactions": 1234, "NDCG@10": of}
        for scorer, of in (("model", 0.31234), ("most popular", None))
    ]
    tables = {"validation": rows, "test": rows}
    stages = {"finetune": {"epochs": 2, "best_epoch": 2, "seconds": 61.2}}
    folder.finish({"stages": stages, "tables": tables, **extra})
    return folder


def picture(height, **drawn):
    figure = matplotlib.figure.Figure((2, height))
    figure.subplots().plot([1, 2], **drawn)
    return figure


def test_the_page_is_one_file_and_says_what_came_out_first(tmp_path):
    nobody = {**dict.fromkeys(GAIN), "metric": "NDCG@10", "rows": 0}
    folder = finished(tmp_path / "run", transfer=GAIN, transfer_groups={"cold": nobody})
    sections = [Section("one", "One", "Look.", picture(1))]
    text = report.write(folder, "NDCG@10", sections, command="python train.py").read_text()
    page = Page(text)
    assert page.loads == []
    assert "script" not in page.names
    assert [path.name for path in (tmp_path / "run" / "report").iterdir()] == ["index.html"]
    order = (
        "The transfer helped",
        "by group",
        ">train.py<",
        "1:01",
        "finetune: training loss",
    )
    order += (">loss terms<", ">figures of the training steps<", "Look.", ">settings<")
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert "cold: n = 0" in text
    assert "&lt;bce&gt;" in text and "<bce>" not in text  # settings are text, never markup


def test_tables_have_a_metric_a_line(tmp_path):
    text = report.write(finished(tmp_path / "run"), "NDCG@10", ()).read_text()
    cells = [[cell for cell, _ in row] for row in Page(text).rows]
    assert cells[:3] == [
        ["", "model", "most popular"],
        ["interactions", "1,234", "1,234"],
        ["NDCG@10", "0.3123", "-"],
    ]


def test_domains_are_bars_with_the_users_they_share(tmp_path):
    domains = [
        ShownDomain("<books>", "source", {"users": 4000, "items": 10}, 1000),
        ShownDomain("toys", "target", {"users": 2000, "items": 20}, 2000),
        ShownDomain("ads", "source", {"impressions": 5}),
    ]
    text = report.write(finished(tmp_path / "run"), "NDCG@10", (), domains).read_text()
    texts = Page(text).texts
    assert texts.count("<books>") == 3  # of users, of items, of impressions
    assert "4,000" in texts and "1,000 in the target, too" in texts and "toys (target)" in texts
    assert 'width="25.00"' in text  # 1000 of 4000


def test_a_users_next_item_is_marked_where_it_is_recommended(tmp_path):
    users = [
        ShownUser("ann", ["<i>", "b"], "c", ["a", "c"], 1),
        ShownUser("bob", [], "d", ["a"], None),
    ]
    text = report.write(finished(tmp_path / "run"), "NDCG@10", (), (), users).read_text()
    page = Page(text)
    assert page.marks == ["c", "c", "d"]
    assert "<i>" in page.texts
    assert "nothing that is known" in text and "not among them" in text


def test_sections_are_drawn_below_their_headings_and_say_how_to_read_them(tmp_path):
    table = pd.DataFrame({"AUC": [0.75], "domain": ["US"]})
    sections = (
        Section("features", "Features", "Near is <similar>.", picture(1)),
        Section("domains", "Domains & AUC", "More is better.", table),
    )
    text = report.write(finished(tmp_path / "run"), "NDCG@10", sections).read_text()
    order = (">Features<", "Near is &lt;similar&gt;.", ">Domains &amp; AUC<", "More is")
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert Page(text[places[0] : places[2]]).names.count("svg") == 1
    cells = [[cell for cell, _ in row] for row in Page(text[places[2] :]).rows[:2]]
    assert cells == [["AUC", "domain"], ["0.7500", "US"]]


def test_a_report_is_drawn_again_over_the_one_that_is_there(tmp_path):
    folder = finished(tmp_path / "run")
    for reading in ("Look here.", "Look there."):
        text = report.write(folder, "NDCG@10", [Section("one", "One", reading, picture(1))])
    assert "Look there." in text.read_text() and "Look here." not in text.read_text()


def test_a_run_that_is_not_finished_has_no_page(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.claim({"system": "peterrec", "config": {}})
    with pytest.raises(RunError, match="not finished"):
        report.write(folder, "NDCG@10", ())
