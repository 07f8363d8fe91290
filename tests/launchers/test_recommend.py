"""Batches of recommendations: what the export answers, for files and data sets, after a kill."""

import json

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from data_pipelines.errors import DataError
from launchers import finished_run
from launchers.recommending import output_parts, writing
from launchers.recommending.output_parts import OutputParts
from launchers.recommending.target_scorer import SCHEMA, check_recommends, scorers_of
from tests.end_to_end import launching
from tfcdr.errors import RunError
from tfcdr.ranking import batch_scoring


@pytest.fixture(scope="module")
def runs(finished_timirec):
    return finished_run.load(finished_timirec[0])


@pytest.fixture(scope="module")
def people(runs):
    """Histories by user: of all kinds of names, long and short, unknown and empty."""
    tokens = runs[""].source.vocabulary("joint").tokens
    random = np.random.default_rng(0)
    people = {}
    for number in range(20):
        names = list(random.choice(tokens, random.integers(1, 30), replace=False))
        bare = names[::2]
        people[f"u{number}"] = [name.partition(":")[2] for name in bare] + names[1::2]
    return {**people, "nobody": ["neither", "of", "these"], "empty": [], "half": [tokens[3], "no"]}


@pytest.fixture(scope="module")
def histories(people, tmp_path_factory):
    path = tmp_path_factory.mktemp("histories") / "people.jsonl"
    lines = [{"user_id": user, "history": history} for user, history in people.items()]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_file_gets_what_the_export_answers(finished_timirec, runs, people, histories, tmp_path):
    path = tmp_path / "best.parquet"
    [scorer] = scorers_of(runs)
    counts = writing.write([scorer], histories, OutputParts(path, {}, SCHEMA))
    assert counts == {"users": 23, "rows": 230, "unknown": 2}
    assert list(tmp_path.iterdir()) == [path]
    table = pd.read_parquet(path)
    signatures = tf.saved_model.load(str(finished_timirec[0] / "export" / "1")).signatures
    width = max(map(len, people.values()))
    rows = tf.constant([[*history, *[""] * (width - len(history))] for history in people.values()])
    answer = signatures["recommend"](history=rows, seen_items=rows)
    assert table["user_id"].tolist() == np.repeat(list(people), 10).tolist()
    assert table["rank"].tolist() == [*range(1, 11)] * len(people)
    assert table["item_id"].tolist() == [item.decode() for item in answer["items"].numpy().ravel()]
    np.testing.assert_allclose(table["score"], answer["scores"].numpy().ravel(), rtol=1e-4)
    assert table["known"][::10].tolist() == answer["known"].numpy().tolist()
    assert table["given"][::10].tolist() == [len(history) for history in people.values()]
    assert set(table["domain"]) == {"target"}
    # The seen ones may be recommended again.
    [scorer] = scorers_of(runs, ["target"], leaves_out_seen=False)
    writing.write([scorer], histories, OutputParts(tmp_path / "again.csv", {}, SCHEMA))
    again = pd.read_csv(tmp_path / "again.csv", na_filter=False)
    answer = signatures["recommend"](history=rows, seen_items=tf.constant([[""]] * len(people)))
    assert again["item_id"].tolist() == [item.decode() for item in answer["items"].numpy().ravel()]


def test_a_killed_command_goes_on_and_ends_with_the_same_table(
    runs, histories, tmp_path, monkeypatch
):
    monkeypatch.setattr(writing, "_USERS_AT_ONCE", 7)
    monkeypatch.setattr(batch_scoring, "_USERS_AT_ONCE", 3)
    [scorer] = scorers_of(runs)
    whole, path = tmp_path / "whole.csv", tmp_path / "best.csv"
    writing.write([scorer], histories, OutputParts(whole, {}, SCHEMA))
    scored = []

    class Killed(Exception):
        pass

    def dies_in_the_third(*users):
        if len(scored) == 2:
            raise Killed
        scored.append(users)
        return scorer.table(*users)

    mortal = type("Mortal", (), {"__getattr__": lambda _, name: getattr(scorer, name)})()
    mortal.table = dies_in_the_third
    with pytest.raises(Killed):
        writing.write([mortal], histories, OutputParts(path, {"top_k": 10}, SCHEMA))
    assert not path.exists()
    scored.clear()
    mortal.table = lambda *users: scored.append(users) or scorer.table(*users)
    counts = writing.write([mortal], histories, OutputParts(path, {"top_k": 10}, SCHEMA))
    assert len(scored) == 2
    assert counts["users"] == 23
    assert path.read_bytes() == whole.read_bytes()
    # What another command has left is not used.
    parts = OutputParts(path, {"top_k": 10}, SCHEMA)
    parts.add(0, *scorer.table(scorer.of_raw(["u"], [[]])))
    assert 0 not in OutputParts(path, {"top_k": 5}, SCHEMA)


def test_all_users_of_the_data_set_get_what_they_have_not_seen(finished_timirec, runs, tmp_path):
    path = tmp_path / "all.parquet"
    flags = (f"--workdir={finished_timirec[0]}", f"--output={path}", "--top_k=4")
    outcome = launching.forked("recommend", *flags)
    assert outcome.status == 0, outcome.err
    users = runs[""].source.prepared.users
    assert f"{path}: {4 * len(users):,} recommendations for {len(users):,} users" in outcome.out
    table = pd.read_parquet(path)
    assert sorted(set(table["user_id"])) == sorted(users)
    source = runs[""].source
    tokens = source.vocabulary("target").tokens
    for numbers, splits, items in source.whole_histories():
        for place, user in enumerate(source.user_names(numbers)):
            own = items[splits[place] : splits[place + 1]]
            seen = {tokens[item - 1] for item in own if item <= len(tokens)}
            best = table[table["user_id"] == user]
            assert len(best) == 4
            assert not seen & set(best["item_id"])
            assert set(best["known"]) == {len(own)}


def test_a_table_is_not_replaced_unasked(tmp_path):
    path = tmp_path / "best.csv"
    output_parts.check_destination(path, overwrite=False)
    path.write_text("mine")
    output_parts.check_destination(path, overwrite=True)
    with pytest.raises(DataError, match=r"best\.csv: exists; use --overwrite"):
        output_parts.check_destination(path, overwrite=False)
    with pytest.raises(DataError, match=r"a table's name ends with \.parquet or \.csv"):
        output_parts.check_destination(tmp_path / "best.txt", overwrite=False)


@pytest.mark.parametrize("system", ["daa", "biao"])
def test_who_predicts_labels_recommends_nothing(system):
    with pytest.raises(RunError, match=f"{system} predicts labels .* neighbours, peterrec"):
        check_recommends(system)


def test_an_unknown_target_is_named(runs):
    with pytest.raises(RunError, match="music is no target of the run, whose targets are target"):
        scorers_of(runs, ["music"])
