"""Which runs are one recommender."""

import json

from launchers.comparing.contenders import settings_of
from tfcdr.runs.run_folder import RunFolder


def run(path, seed, pretrained="", width=8, data="toys"):
    path.mkdir()
    settings = {"system": "timirec", "config": {"width": width}, "seed": seed}
    settings |= {"reading": {"targets": ["toys"]}, "mixed_precision": False}
    settings |= {"data_fingerprint": data, "pretrained": pretrained}
    (path / "config.json").write_text(json.dumps(settings, default=str))
    return RunFolder(path)


def test_runs_that_differ_in_the_seed_are_one_whatever_run_they_started_from(tmp_path):
    starts = {
        name: run(tmp_path / name, **settings).path
        for name, settings in {
            "first": {"seed": 0},
            "second": {"seed": 1},
            "wide": {"seed": 1, "width": 16},
            "games": {"seed": 1, "data": "games"},
        }.items()
    }
    one = settings_of(run(tmp_path / "one", 0, starts["first"]))
    assert one == settings_of(run(tmp_path / "two", 1, starts["second"]))
    others = [
        settings_of(run(tmp_path / f"from_{name}", 1, start))
        for name, start in {**starts, "nothing": "", "gone": tmp_path / "gone"}.items()
        if name not in ("first", "second")
    ]
    assert one not in others
    assert all(others.count(other) == 1 for other in others)


def test_a_run_that_has_been_trained_again_from_what_started_from_it_is_told_by_its_path(tmp_path):
    first = run(tmp_path / "first", 0, tmp_path / "second")
    second = settings_of(run(tmp_path / "second", 0, first.path))
    (start,) = second["pretrained"]
    assert start["pretrained"] == [str(tmp_path / "second")]


def test_means_of_other_seeds_are_one_recommender(tmp_path):
    seeds = [run(tmp_path / str(seed), seed) for seed in range(4)]

    def mean_of(name, runs):
        return settings_of(run(tmp_path / name, 0, [str(each.path) for each in runs]))

    first, second = mean_of("first", seeds[:2]), mean_of("second", seeds[2:])
    assert first == second
    assert mean_of("one", seeds[:1]) != first
    wider = run(tmp_path / "wider", 4, width=16)
    assert mean_of("other", [seeds[0], wider]) != first
