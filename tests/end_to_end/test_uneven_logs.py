"""A user who took a whole catalogue, and kinds of event that count more than others."""

import collections
import json

import numpy as np
import pytest

from tests.data_pipelines.small_logs import source_of
from tests.end_to_end import launching

TOYS = 30
SMALL = (
    *("--reader=csv", "--split.kind=given", "--read.event_weights=buy=1,view=0.2"),
    *("--target=toys", "--examples.max_length=4", "--evaluation.negatives=20"),
)
TIMIREC = (
    *("--system=timirec", "--timirec.from_scratch", "--timirec.embedding_size=4"),
    *("--timirec.finetune_epochs=1", "--timirec.finetune_batch_size=64", "--nojit_compile"),
)


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Forty users with books and few toys, and one who took every toy, in training already."""
    random = np.random.default_rng(0)
    lines = ["user_id,item_id,domain,timestamp,part,event"]
    for user in range(40):
        lines += [f"u{user},b{random.integers(20)},books,{time},train,view" for time in range(5)]
        parts = ("train", "train", "validation", "test")
        for time, (toy, part) in enumerate(zip(random.permutation(TOYS), parts, strict=False)):
            lines.append(f"u{user},t{toy},toys,{9 + time},{part},{('buy', 'view')[time % 2]}")
    lines += [f"all,t{toy},toys,{toy},train,buy" for toy in range(TOYS)]
    # What was taken before is ranked again.
    lines += [f"most,t{toy},toys,{toy},{'test' if toy > 25 else 'train'},x" for toy in range(TOYS)]
    path = tmp_path_factory.mktemp("uneven") / "log.csv"
    path.write_text("\n".join(lines).replace(",x", ",view") + "\n")
    return path


@pytest.fixture(scope="module", params=["timirec", "neighbours"])
def finished(request, log, tmp_path_factory):
    """The system, the run's folder and its outcome; the data set is converted once."""
    workdir = tmp_path_factory.mktemp(request.param) / "run"
    system = TIMIREC if request.param == "timirec" else ("--system=neighbours",)
    where = (f"--input={log}", f"--data_dir={log.parent / 'data'}", f"--workdir={workdir}")
    outcome = launching.call("train", *system, *SMALL, *where)
    assert outcome.status == 0, outcome.err
    return request.param, workdir, outcome


def test_who_took_all_is_left_out_and_counted(finished):
    system, workdir, outcome = finished
    told = [line for line in outcome.out.splitlines() if line.startswith("left out: ")]
    rows = {"timirec": "29 train, 4 test rows of 2 users", "neighbours": "4 test rows of 1 user"}
    assert told == [
        f"left out: {rows[system]} to whom too few items of toys are left to draw from; "
        "evaluation draws 20, see --evaluation.negatives"
    ]
    metrics = json.loads((workdir / "metrics.json").read_text())
    ranked = {
        (split, row["protocol"]): row["interactions"]
        for split, rows in metrics["tables"].items()
        for row in rows
        if row["group"] == "all"
    }
    assert set(ranked.values()) == {40}
    assert len(ranked) == 4


def test_kinds_of_event_count_and_a_system_that_makes_no_use_of_that_says_so(finished, log):
    system, _, outcome = finished
    weights = collections.Counter()
    for *_, of_some in source_of(log.parent / "data", ["toys"]).training_histories("joint", 100):
        weights.update(of_some.round(1).tolist())
    assert set(weights) == {np.float32(1), np.float32(0.2)}
    told = "timirec makes no use of --read.event_weights: to it, all kinds of event count alike"
    assert (told in outcome.out) == (system == "timirec")
