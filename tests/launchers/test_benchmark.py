"""The benchmark as a person calls it, at sizes where it takes seconds."""

import json

import pytest

from tests.end_to_end import launching

SMALL = (
    "--turns=2",
    "--turn_seconds=0",
    "--data.items=100",
    "--data.length=6",
    "--data.users=120",
)
SMALL_PETERREC = (
    *SMALL,
    "--peterrec.channels=8",
    "--peterrec.dilations=1",
    "--peterrec.pretrain_batch_size=16",
    "--peterrec.finetune_batch_size=16",
)


@pytest.mark.slow
def test_prints_and_writes_the_same_figures(tmp_path):
    output = tmp_path / "figures" / "pretrain.json"
    other_settings = "tfcdr data.items=200 peterrec.table_update=touched_rows"
    rivals = ("--against=release", f"--against={other_settings}")
    outcome = launching.script("benchmark", *SMALL_PETERREC, *rivals, f"--output={output}")
    assert outcome.status == 0, outcome.err
    figures = json.loads(output.read_text())
    ours, release, other = (
        figures["contenders"][name] for name in ("tfcdr", "release", other_settings)
    )
    assert set(figures["speedup"]) == {"release", other_settings}
    # A hundred more items: eight channels to read each, and eight and a bias to predict it.
    assert other["parameters"] - ours["parameters"] == 100 * (8 + 8 + 1)
    assert set(ours["timings"]) == {
        *("step", "forward", "gradients", "pipeline", "training"),
        *("convolutions", "matrix products"),
    }
    for contender in (ours, release, other):
        for timing in contender["timings"].values():
            assert timing["turns"] == 2
            assert timing["median_seconds"] > 0
        assert contender["peak_bytes"] > 2**26
    seconds = [contender["timings"]["step"]["median_seconds"] for contender in (ours, release)]
    assert figures["speedup"]["release"]["median"] == pytest.approx(seconds[1] / seconds[0])
    assert f"{16 / seconds[0]:,.0f} examples/s" in outcome.out
    assert "against release" in outcome.out
    assert str(output) in outcome.out


@pytest.mark.slow
def test_measures_adaptation_against_plain_training(tmp_path):
    output = tmp_path / "adapt.json"
    rival = "tfcdr daa.adaptation=fine_tune"
    outcome = launching.forked(
        "benchmark",
        *SMALL,
        "--system=daa",
        "--stage=adapt",
        "--daa.backbone=sharedbottom",
        "--daa.embedding_size=4",
        "--daa.bottom_widths=6",
        "--daa.tower_widths=4",
        "--daa.critic_hidden=4",
        "--daa.adapt_batch_size=16",
        "--data.impressions=200",
        f"--against={rival}",
        f"--output={output}",
    )
    assert outcome.status == 0, outcome.err
    figures = json.loads(output.read_text())
    adapting, plain = figures["contenders"]["tfcdr"], figures["contenders"][rival]
    assert {"step", "critics", "gradients"} <= set(adapting["timings"])
    assert adapting["jit_compile"] == ("GPU" in adapting["devices"])
    assert adapting["batches_per_update"] == 5
    assert plain["batches_per_update"] == 1
    # Three more forward passes a batch, and a whole step at every fifth.
    assert plain["product_flops"] < adapting["product_flops"] < 3 * plain["product_flops"]
    share = adapting["share_of_product_rate"]["median"]
    assert f"{share:.0%} of the machine's rate" in outcome.out
    assert rival in figures["speedup"]


@pytest.mark.slow
def test_measures_what_weights_cost(tmp_path):
    output = tmp_path / "weights.json"
    rival = "tfcdr biao.source_loss=uniform"
    outcome = launching.forked(
        "benchmark",
        *SMALL,
        "--system=biao",
        "--biao.batch_size=16",
        "--biao.developing_batch_size=16",
        "--biao.descent_steps=2",
        "--biao.interval=3",
        "--nojit_compile",  # whose compilation would take most of the time
        f"--against={rival}",
        f"--output={output}",
    )
    assert outcome.status == 0, outcome.err
    figures = json.loads(output.read_text())
    weighted, plain = figures["contenders"]["tfcdr"], figures["contenders"][rival]
    assert {"step", "train step", "weights", "importance"} <= set(weighted["timings"])
    assert weighted["batches_per_update"] == 3
    assert plain["periodic_steps"] == []
    milliseconds = 1e3 * weighted["timings"]["importance"]["median_seconds"]
    assert f"importance step {milliseconds:.2f} ms" in outcome.out


@pytest.mark.parametrize(
    ("flag", "named"),
    [
        ("--stage=adapt", "pretrain, finetune"),
        ("--against=sklearn", "release"),
        ("--against=pytorch", "--system=timirec"),
        ("--data.items=3", "items"),
    ],
)
def test_a_bad_flag_is_one_line(flag, named):
    outcome = launching.forked("benchmark", *SMALL, flag)
    assert outcome.status == 2
    assert named in outcome.error
    assert outcome.err.count("\n") == 1
