"""A run becomes versions in its export folder; mistakes are one line."""

import shutil

import numpy as np
import pytest
import tensorflow as tf

from launchers import finished_run
from tests.end_to_end import launching
from tfcdr.system import Serving


def test_export_answers_like_the_run(finished, tmp_path):
    workdir = shutil.copytree(finished[0], tmp_path / "run")
    outcome = launching.script("export", f"--workdir={workdir}", "--top_k=3")
    assert outcome.status == 0, outcome.err
    assert outcome.out.startswith(f"{workdir}/export/1: ")
    runs = finished_run.load(workdir)
    run = runs[""]
    signatures = tf.saved_model.load(str(workdir / "export" / "1")).signatures
    sources, targets = (run.source.vocabulary(space).tokens for space in ("source", "target"))
    best = signatures["recommend"](
        history=tf.constant([[sources[4], sources[7]]]), seen_items=tf.constant([[targets[0]]])
    )
    padding = [0] * (run.source.max_length - 2)
    user = run.model.encode_history(tf.constant([[*padding, 5, 8]]))
    catalogue = run.model.score_catalogue(user).numpy()[0, 1:]
    order = [item for item in np.argsort(-catalogue, kind="stable") if item != 0][:3]
    assert best["items"].numpy().tolist() == [[targets[item].encode() for item in order]]
    np.testing.assert_allclose(best["scores"][0], catalogue[order], rtol=1e-5)
    assert finished_run.export(workdir, runs, Serving(top_k=2)) == workdir / "export" / "2"


@pytest.mark.parametrize(
    ("flags", "status", "error"),
    [
        ((), 2, "--workdir is missing"),
        (("--workdir={tmp}",), 1, "no run here"),
    ],
)
def test_mistakes_are_one_line(tmp_path, flags, status, error):
    outcome = launching.forked("export", *(flag.format(tmp=tmp_path) for flag in flags))
    assert outcome.status == status
    assert error in outcome.error
    assert outcome.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
