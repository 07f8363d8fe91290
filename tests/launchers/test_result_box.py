"""The box that a run ends with."""

import json

from launchers import result_box
from tfcdr.runs.run_folder import RunFolder
from tfcdr.systems.registry import SYSTEMS


def gain(metric="NDCG@10", bar=None, of_other=0.1, model=0.2, low=0.05, high=0.15):
    figures = {"gain": model - of_other, "low": low, "high": high, "rows": 9}
    if bar:
        return {"bar": bar, "metric": metric, "model": model, "of_bar": of_other, **figures}
    return {"metric": metric, "transfer": model, "no_transfer": of_other, **figures}


def written(folder, **metrics):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    whole = {"validation": {}, "test": {"NDCG@10": 0.21, "AUC": 0.7}, **metrics}
    (folder / "metrics.json").write_text(json.dumps(whole))


def shown(capsys, folder, system, monitor):
    result_box.show(folder, SYSTEMS[system], monitor)
    return [line.strip("│ ") for line in capsys.readouterr().out.splitlines()]


def test_a_row_for_all_that_the_model_stands_beside(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = result_box.Path("run")
    bars = {"most popular": {"all": gain(bar="most popular", of_other=0.4, low=-0.3, high=-0.1)}}
    written(folder, bars=bars, transfer=gain(), transfer_parts={"pre-training": gain(low=-0.1)})
    (folder / "export" / "3").mkdir(parents=True)
    (folder / "export" / "3" / "saved_model.pb").touch()
    RunFolder(folder).remember_export(folder / "export" / "3")
    lines = [" ".join(line.split()) for line in shown(capsys, folder, "peterrec", "NDCG@10")]
    assert "peterrec in run" in lines[1]
    assert lines[2:-1] == [
        "the model 0.2000 test NDCG@10, mean over users",
        "most popular 0.4000 the model is BELOW it",
        "without transfer 0.1000 transfer helped",
        "without pre-training 0.1000 pre-training made no measurable difference",
        "",
        "figures run/metrics.json",
        "export run/export/3",
        "next python launchers/recommend.py --workdir=run --output=recommendations.csv",
    ]


def test_who_recommends_nothing_is_exported_next(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = result_box.Path("run")
    written(folder)
    lines = [" ".join(line.split()) for line in shown(capsys, folder, "daa", "AUC")]
    assert lines[2] == "the model 0.7000 test AUC"
    assert lines[-2] == "next python launchers/export.py --workdir=run"
