"""The report shows what the run's files hold."""

import html.parser

from tfcdr import report
from tfcdr.run_folder import RunFolder


class Images(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.sources = []

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.sources.append(dict(attrs)["src"])


def epoch(stage, number, loss, score):
    return {"stage": stage, "epoch": number, "loss": loss, "validation": {"NDCG@10": score}}


def finished(path, **extra):
    folder = RunFolder(path)
    folder.claim({"system": "peterrec", "config": {"channels": 64, "loss": "<bce>"}})
    folder.add_epoch(epoch("pretrain", 1, 5.0, 0.1))
    for number, score in enumerate((0.2, 0.4, 0.3), start=1):
        folder.add_epoch(epoch("finetune", number, 1.0 / number, score))
    rows = [{"protocol": "full", "users": "all", "scorer": "model", "NDCG@10": 0.31234}]
    tables = {"validation": rows, "test": rows}
    folder.finish({"stages": {"pretrain": {}, "finetune": {}}, "tables": tables, **extra})
    return folder


def test_page_holds_figures_and_finds_its_pictures(tmp_path):
    gain = dict(zip(("metric", "transfer", "no_transfer"), ("NDCG@10", 0.4, 0.3), strict=True))
    gain |= {"gain": 0.1, "low": 0.05, "high": 0.15}
    page = report.write(finished(tmp_path / "run", transfer=gain), "NDCG@10")
    text = page.read_text()
    assert "transfer helped" in text
    assert "0.3123" in text
    assert "&lt;bce&gt;" in text  # settings are text, never markup
    images = Images()
    images.feed(text)
    assert images.sources == ["curves.png"]
    assert (page.parent / "curves.png").read_bytes().startswith(b"\x89PNG")


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
