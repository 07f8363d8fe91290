"""Readers on the real files: counts that their publishers state, or that plain Python counts."""

import collections

import pytest

from data_pipelines import readers
from data_pipelines.readers.movielens import MovieLensOptions
from data_pipelines.readers.pairs import PairsOptions
from data_pipelines.readers.sequences import SequencesOptions
from data_pipelines.splitting.split_log import SplitOptions
from data_pipelines.splitting.splits import split
from tests.data_pipelines.small_logs import table_of


def counts(log):
    """Domain -> (interactions, users, items)."""
    groups = log.interactions.groupby("domain")
    return {
        name: (len(of), of["user_id"].nunique(), of["item_id"].nunique()) for name, of in groups
    }


def test_toys_games_in_joint_order_agrees_with_the_files_of_each_domain(real_data):
    folder = real_data("toys_games")
    mix = readers.read(
        "sequences",
        [str(folder / "mix_sequences.txt")],
        SequencesOptions(domain_by="item_range", item_ranges=("Toys:1:37868", "Games:37869:49603")),
    )
    assert counts(mix) == {"Toys": (114_487, 7_996, 37_868), "Games": (82_871, 7_996, 11_735)}
    assert mix.comparable_times
    apart = readers.read(
        "sequences",
        [f"Toys={folder}/toy_sequences.txt", f"Games={folder}/game_sequences.txt"],
    )
    assert counts(apart) == counts(mix)
    for domain, shift in (("Toys", 0), ("Games", 37_868)):
        of_mix = mix.interactions[mix.interactions["domain"] == domain]
        of_apart = apart.interactions[apart.interactions["domain"] == domain]
        assert of_mix["user_id"].tolist() == of_apart["user_id"].tolist()
        assert (of_mix["item_id"].astype(int) - shift).tolist() == of_apart["item_id"].astype(
            int
        ).tolist()


def test_movielens_100k_by_genre(real_data):
    folder = real_data("movielens_100k")
    genres = {}
    for line in (folder / "ml-100k.item").read_text(encoding="utf-8").splitlines()[1:]:
        item, _, _, listed = line.split("\t")
        genres[item] = next((g for g in listed.split() if g in ("Drama", "Comedy")), None)
    expected = collections.Counter(
        genres[line.split("\t")[1]]
        for line in (folder / "ml-100k.inter").read_text().splitlines()[1:]
    )
    log = readers.read("movielens", [str(folder)], MovieLensOptions(domains=("Drama", "Comedy")))
    assert counts(log) == {"Drama": (35_778, 942, 636), "Comedy": (29_832, 940, 505)}
    assert expected == {
        "Drama": 35_778,
        "Comedy": 29_832,
        None: sum(log.left_out.values()),
    }
    whole = readers.read("movielens", [f"Movies={folder}"], MovieLensOptions(domain_by="file"))
    assert counts(whole) == {"Movies": (100_000, 943, 1_682)}


def game_video(folder, source, target):
    inputs = [f"{source.title()}={folder}/{source}_{target}__train.txt@train"]
    for file, part in (("train", "train"), ("valid", "validation"), ("test", "test")):
        inputs.append(f"{target.title()}={folder}/{target}_{source}__{file}.txt@{part}")
    return readers.read("pairs", inputs, PairsOptions(shared_users_below=2_179))


# From video_game__game_video_data_info.txt: items and interactions of each domain, shared users.
@pytest.mark.parametrize(
    ("source", "target", "held_out_users", "whole"),
    [
        ("video", "game", {"validation": 213, "test": 212}, (157_721, 25_025, 12_319)),
        ("game", "video", {"validation": 210, "test": 216}, (158_984, 19_457, 8_751)),
    ],
)
def test_game_video_holds_out_shared_users_who_are_cold_in_the_target(
    real_data, source, target, held_out_users, whole
):
    log = game_video(real_data("game_video"), source, target)
    assert counts(log)[target.title()] == whole
    rows = table_of(split(log, SplitOptions(kind="given")))
    of_target = rows[rows["domain"] == target.title()]
    training = set(of_target["user_id"][of_target["part"] == "train"])
    in_source = set(rows["user_id"][rows["domain"] == source.title()])
    for part, count in held_out_users.items():
        users = set(of_target["user_id"][of_target["part"] == part])
        assert len(users) == count
        assert not users & training
        assert users <= in_source
    assert len(set(of_target["user_id"]) & in_source) < 2_179
    assert all(int(user) < 2_179 for user in set(of_target["user_id"]) & in_source)


def test_game_video_shared_users(real_data):
    folder = real_data("game_video")
    whole = readers.read(
        "pairs",
        [
            f"{domain}={folder}/{name}__{file}.txt"
            for domain, name in (("Game", "game_video"), ("Video", "video_game"))
            for file in ("train", "valid", "test")
        ],
        PairsOptions(shared_users_below=2_179),
    )
    users = whole.interactions["user_id"]
    of = {d: set(users[whole.interactions["domain"] == d]) for d in whole.domains}
    assert len(of["Game"] & of["Video"]) == 2_179
    assert len(of["Game"] | of["Video"]) == 42_303
    shared = whole.interactions[users.isin(of["Game"] & of["Video"])]
    assert shared["domain"].value_counts().to_dict() == {"Game": 23_780, "Video": 28_446}


def test_movielens_1m_sequences(real_data):
    path = real_data("movielens_1m_sequences") / "ratings_seq20_order.txt"
    log = readers.read(
        "sequences",
        [f"Movies={path}"],
        SequencesOptions(separator=",", padding="-1", lines_start_with_user=False),
    )
    tokens = [line.split(",") for line in path.read_text().splitlines()]
    items = [token for line in tokens for token in line if token != "-1"]
    assert counts(log) == {"Movies": (len(items), 25_242, len(set(items)))}
    assert log.interactions["item_id"].tolist() == items


def test_peterrec_demo(real_data):
    folder = real_data("peterrec_demo")
    stem = "history_sequences_20181014_fajie_transfer"
    fine = folder / f"{stem}_finetune_small.csv"
    lines = [line.split(",,") for line in fine.read_text().split()]
    log = readers.read("peterrec", [str(fine)])
    for domain, half in (("source", 0), ("target", 1)):
        of = log.interactions[log.interactions["domain"] == domain]
        expected = [
            (str(number), token)
            for number, line in enumerate(lines, 1)
            for token in line[half].split(",")
            if token != "0"
        ]
        assert list(zip(of["user_id"], of["item_id"], strict=True)) == expected
    # PeterRec SPEC section 5: vocabularies of 174 tokens (the padding among them) and 31 targets.
    assert counts(log) == {"source": (247, 30, 173), "target": (47, 30, 31)}
    pretrain = readers.read("peterrec", [str(folder / f"{stem}_pretrain_small.csv")])
    source = log.interactions[log.interactions["domain"] == "source"]
    assert pretrain.interactions["item_id"].tolist() == source["item_id"].tolist()
    assert pretrain.domains == ("source",)
