"""Small models with random weights, and what they must answer, worked out id by id."""

import dataclasses

import numpy as np

from tfcdr.ranking.export import ServedTarget
from tfcdr.ranking.history_names import HistoryNames
from tfcdr.systems.peterrec.config import PeterRecConfig
from tfcdr.systems.peterrec.model import FinetuningModel, PretrainingModel

LENGTH = 4
# Longer than a short C string, with a blank, and beyond ASCII.
SOURCES = ("book 1", "böck", "a book whose id is long enough", "b4", "b5", "b6", "b7")
TARGETS = (*(f"film {number}" for number in range(18)), "фильм", "a film with a long, long id")
LOWEST = float(np.finfo(np.float32).min)

HISTORIES = [
    ["book 1", "b4", "nobody knows this", "b5", "böck", "b7"],
    ["a book whose id is long enough", "", "", "", "", ""],
    ["", "", "", "b6", "", "b6"],
    ["unknown", "", "", "", "", ""],
]
CANDIDATES = [
    ["film 3", "unknown", "film 3"],
    ["фильм", "film 0", "a film with a long, long id"],
    ["", "film 17", "b4"],
    ["film 9", "film 2", "film 1"],
]
SEEN = [
    ["film 3", "unknown", "", *TARGETS[8:16]],
    [""] * 11,
    ["b4", "фильм", "фильм", "film 1", *[""] * 7],
    [*TARGETS[:11]],
]


@dataclasses.dataclass(frozen=True)
class Answer:
    """What both signatures must give: lists, row by row."""

    scores: list[list[float]]
    items: list[list[str]]
    item_scores: list[list[float]]


def finetuning_model(causal=True, seed=0):
    config = PeterRecConfig(channels=8, dilations=(1, 2), causal=causal, position_embedding=True)
    return _randomized(FinetuningModel(config, LENGTH, len(SOURCES) + 3, len(TARGETS)), seed)


def pretraining_model(causal=True, seed=0):
    config = PeterRecConfig(
        channels=8, dilations=(1, 2), causal=causal, pretrain_loss="full_softmax"
    )
    counts = np.ones(len(SOURCES))
    return _randomized(PretrainingModel(config, LENGTH, len(SOURCES) + 3, counts), seed)


def _randomized(model, seed):
    random = np.random.default_rng(seed)
    for variable in model.variables:
        variable.assign(random.normal(size=variable.shape))
    return model


def served(model, domain=""):
    """Returns what is exported of a model."""
    items = TARGETS if model.num_items == len(TARGETS) else SOURCES
    names = HistoryNames(SOURCES, np.arange(len(SOURCES)) + 1)
    # In a run of both, the sources stand behind the targets.
    reads = range(len(TARGETS) + 1, len(TARGETS) + len(SOURCES) + 1)
    ranks = reads if items is SOURCES else range(1, len(TARGETS) + 1)
    return ServedTarget(domain, model, names, items, counts(items), LENGTH, reads, ranks)


def counts(items):
    """Returns training interactions, distinct ones; the most popular item is in the middle."""
    return np.roll(np.arange(len(items)), len(items) // 2)


def expected(model, top_k, histories=HISTORIES, candidates=CANDIDATES, seen=SEEN):
    """Scores every item as evaluation does, then picks; one row at a time."""
    targets = TARGETS if isinstance(model, FinetuningModel) else SOURCES
    answer = Answer([], [], [])
    for history, asked, excluded in zip(histories, candidates, seen, strict=True):
        known = [SOURCES.index(token) + 1 for token in history if token in SOURCES]
        user = model.query(_evaluation_batch(model, known)).user
        catalogue = model.score_catalogue(user).numpy()[0, 1 : len(targets) + 1]
        if not known:
            catalogue = counts(targets)
        by_token = dict(zip(targets, catalogue.tolist(), strict=True))
        answer.scores.append([by_token.get(token, LOWEST) for token in asked])
        left = {token: score for token, score in by_token.items() if token not in excluded}
        best = sorted(left, key=left.get, reverse=True)[:top_k]
        missing = top_k - len(best)
        answer.items.append(best + [""] * missing)
        answer.item_scores.append([left[token] for token in best] + [LOWEST] * missing)
    return answer


def _evaluation_batch(model, history):
    """Returns a batch of one row in the layout of the views `transfer`, `next_item`, ..."""
    cls, mask = len(SOURCES) + 1, len(SOURCES) + 2

    def padded(ids, length):
        return [0] * (length - len(ids[-length:])) + ids[-length:]

    if isinstance(model, FinetuningModel):
        before = [] if model.config.causal else [cls]
        batch = {"context": before + padded(history, LENGTH) + [cls], "target_item": 1, "cold": 0}
        batch["seen_items"] = [0]
    elif model.config.causal:
        batch = {"items": [*padded(history, LENGTH), 1]}
    else:
        batch = {
            "masked_items": [*padded(history, LENGTH - 1), mask],
            "positions": [LENGTH - 1],
            "labels": [1],
            "label_weight": [1.0],
        }
    batch = {key: np.array([value], np.int32) for key, value in batch.items()}
    return {**batch, "example_weight": np.ones(1, np.float32)}


def assert_answers(answer, got, tolerance=1e-5):
    """Compares with the outputs of both signatures, given as `Answer`."""
    assert got.items == answer.items
    np.testing.assert_allclose(got.scores, answer.scores, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(got.item_scores, answer.item_scores, rtol=tolerance, atol=tolerance)
