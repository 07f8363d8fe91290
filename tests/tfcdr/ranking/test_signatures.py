"""Both signatures against scores of the whole catalogue, sorted and filtered row by row."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from tests.tfcdr.ranking import tiny_models
from tests.tfcdr.ranking.tiny_models import CANDIDATES, HISTORIES, SEEN, SOURCES, TARGETS, Answer
from tfcdr.ranking.export import export_models
from tfcdr.ranking.recommender import latest_known
from tfcdr.system import Serving


def decode(tokens):
    return [[token.decode() for token in row] for row in tokens.numpy()]


def call(signatures, histories=HISTORIES, candidates=CANDIDATES, seen=SEEN):
    history = tf.constant(histories)
    scored = signatures["serving_default"](history=history, candidates=tf.constant(candidates))
    best = signatures["recommend"](history=history, seen_items=tf.constant(seen))
    tokens = [[token in SOURCES for token in row] for row in histories]
    assert best["known"].numpy().tolist() == [sum(row) for row in tokens]
    return Answer(scored["scores"].numpy(), decode(best["items"]), best["scores"].numpy())


def load(model, tmp_path, top_k, retrieval="brute_force"):
    serving = Serving(top_k, retrieval)
    path = export_models([tiny_models.served(model)], tmp_path / "export", serving)
    return tf.saved_model.load(str(path)).signatures


def read_saved_model(path):
    return SavedModel.FromString((path / "saved_model.pb").read_bytes())


def answers_in_a_session(path, histories, seen):
    """What signature `recommend` gives for histories and seen items alone."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        graph = tf.compat.v1.saved_model.load(session, ["serve"], str(path))
        signature = graph.signature_def["recommend"]
        named = {"history": histories, "seen_items": seen}
        feeds = {signature.inputs[name].name: value for name, value in named.items()}
        return session.run(signature.outputs["items"].name, feeds)


def test_latest_known_ids_are_kept_in_order():
    ids = tf.constant([[0, 3, 0, 1, 2, 0], [0, 0, 0, 0, 0, 9], [5, 4, 3, 2, 1, 0]])
    expected = [[0, 3, 1, 2], [0, 0, 0, 9], [4, 3, 2, 1]]
    np.testing.assert_array_equal(latest_known(ids, 4), expected)
    np.testing.assert_array_equal(latest_known(ids[:, :2], 4)[0], [0, 0, 0, 3])
    np.testing.assert_array_equal(latest_known(ids[:, :0], 4), np.zeros((3, 4)))


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("top_k", [3, 25])
def test_finetuned_model(tmp_path, causal, top_k):
    model = tiny_models.finetuning_model(causal)
    got = call(load(model, tmp_path, top_k))
    tiny_models.assert_answers(tiny_models.expected(model, top_k), got)


@pytest.mark.parametrize("causal", [True, False])
def test_pretrained_model_with_biases(tmp_path, causal):
    # Source items are recommended here, so the seen ones are most of the catalogue.
    model = tiny_models.pretraining_model(causal)
    seen = [[*SOURCES[:6]], [""] * 6, ["b7"] * 6, ["film 3", *SOURCES[2:]]]
    got = call(load(model, tmp_path, 3), seen=seen)
    tiny_models.assert_answers(tiny_models.expected(model, 3, seen=seen), got)


def test_more_seen_items_than_recommended(tmp_path):
    # The best items are the seen ones: a search for the best k alone would find nothing.
    model = tiny_models.finetuning_model()
    signatures = load(model, tmp_path, 2)
    nothing = [[""]] * len(HISTORIES)
    everything = tiny_models.expected(model, len(TARGETS), seen=nothing)
    for count in (2, 12, 19, 20):
        seen = [items[:count] for items in everything.items]
        got = call(signatures, seen=seen)
        tiny_models.assert_answers(tiny_models.expected(model, 2, seen=seen), got)
        for items, hidden in zip(got.items, seen, strict=True):
            assert not set(items) & set(hidden)


@pytest.mark.parametrize("rows", [0, 1])
def test_rows_may_be_empty(tmp_path, rows):
    model = tiny_models.finetuning_model()
    signatures = load(model, tmp_path, 2)
    empty = tf.zeros((rows, 0), tf.string)
    assert signatures["serving_default"](history=empty, candidates=empty)["scores"].shape == (
        rows,
        0,
    )
    best = signatures["recommend"](history=empty, seen_items=empty)
    expected = tiny_models.expected(model, 2, [[]] * rows, [[]] * rows, [[]] * rows)
    assert decode(best["items"]) == expected.items


def test_scann(tmp_path):
    pytest.importorskip("scann")
    model = tiny_models.finetuning_model()
    got = call(load(model, tmp_path, 3, "scann"))
    # So small a catalogue is searched as a whole.
    tiny_models.assert_answers(tiny_models.expected(model, 3), got)


def test_models_of_several_targets_answer_the_rows_of_their_domain(tmp_path):
    models = {"films": tiny_models.finetuning_model(), "books": tiny_models.pretraining_model()}
    served = [tiny_models.served(model, name) for name, model in models.items()]
    path = export_models(served, tmp_path / "export", Serving(3))
    signatures = tf.saved_model.load(str(path)).signatures
    asked = ["books", "films", "books", "films"]
    domains = tf.constant(asked)
    history = tf.constant(HISTORIES)
    ask = {"history": history, "domain": domains}
    scored = signatures["serving_default"](candidates=tf.constant(CANDIDATES), **ask)
    best = signatures["recommend"](seen_items=tf.constant(SEEN), **ask)
    got = Answer(scored["scores"].numpy(), decode(best["items"]), best["scores"].numpy())
    expected = {name: tiny_models.expected(model, 3) for name, model in models.items()}
    for row, domain in enumerate(asked):
        assert got.items[row] == expected[domain].items[row]
        np.testing.assert_allclose(got.scores[row], expected[domain].scores[row], rtol=1e-5)
    # A domain that is not there is refused by its name, alone and among others.
    for names in (["nowhere"], ["books", "films", "nowhere", "books"]):
        for name, more in (("recommend", {"seen_items": SEEN}), ("serving_default", CANDIDATES)):
            more = more if isinstance(more, dict) else {"candidates": more}
            more = {key: tf.constant(rows) for key, rows in more.items()}
            with pytest.raises(tf.errors.InvalidArgumentError, match=r"has films, books.*nowhere"):
                signatures[name](history=history, domain=tf.constant(names), **more)
    # Without a domain, as a server runs it, the first target answers.
    [alone] = answers_in_a_session(path, HISTORIES[:1], SEEN[:1])
    assert [token.decode() for token in alone] == expected["films"].items[0]
    defaults = read_saved_model(path).meta_graphs[0].signature_def["recommend"].defaults
    assert list(defaults["domain"].string_val) == [b"films"]
