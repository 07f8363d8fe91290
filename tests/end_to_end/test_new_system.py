"""A system from a package of its own: it trains, is evaluated and exported, and touches no file."""

import json
import re

import pytest
import tensorflow as tf

from tests.end_to_end import launching

README = launching.REPOSITORY / "tfcdr" / "systems" / "README.md"
# The registry's one line, then a launcher as it is.
RUN = """
import sys
sys.path.insert(0, {package!r})
from toy_package.system import Mean
from tfcdr.systems.registry import SYSTEMS
SYSTEMS["mean"] = Mean()
from launchers import {launcher}
{launcher}.run()
"""


def shown_system():
    """Everything that a system brings, a configuration, a model, a system, as the page shows it."""
    (code,) = re.findall(r"<!-- a-system -->\n```python\n(.*?)```", README.read_text(), re.DOTALL)
    return code


@pytest.mark.slow
def test_the_shown_system_runs_through_every_launcher(small_data, tmp_path):
    package = tmp_path / "toy_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "system.py").write_text(shown_system())
    workdir = tmp_path / "run"

    def run(launcher, *flags):
        code = RUN.format(package=str(tmp_path), launcher=launcher)
        process = launching.start(launcher, *flags, f"--workdir={workdir}", code=code)
        outcome = launching.finish(process)
        assert outcome.status == 0, outcome.err
        return outcome.out

    flags = ("--system=mean", "--mean.size=6", "--evaluation.negatives=20", "--report")
    flags += launching.SMALL_READING
    trained = run("train", *flags, f"--data_dir={small_data}")
    assert "fit epoch 2/2: NDCG@10" in trained
    metrics = json.loads((workdir / "metrics.json").read_text())
    assert 0 < metrics["test"]["NDCG@10"] <= 1
    assert json.loads((workdir / "config.json").read_text())["config"] == {"size": 6, "epochs": 2}
    last = json.loads((workdir / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["figures"]["table_norm"] > 0
    page = (workdir / "report" / "index.html").read_text()
    assert "figures of the training steps" in page and "table norm" in page
    # The tables of evaluate.py are those of train.py.
    evaluated = run("evaluate")
    assert evaluated.strip() in trained
    assert "signatures serving_default and recommend" in run("export")
    recommend = tf.saved_model.load(str(workdir / "export" / "1")).signatures["recommend"]
    nothing = tf.constant([[""]])
    items = recommend(history=nothing, seen_items=nothing)["items"].numpy()[0]
    assert len(set(items)) == 10
