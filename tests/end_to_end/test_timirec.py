"""TiMiRec through the launcher: whom it ranks, what it draws, and what its export answers."""

import json

import numpy as np
import pytest
import tensorflow as tf

from launchers import finished_run
from tests.end_to_end import launching
from tests.end_to_end.launching import SMALL_TIMIREC_RUN

SETTINGS = {
    "all": (),
    "target": ("--timirec.history_domains=target", "--timirec.from_scratch"),
    "comirec": ("--timirec.variant=comirec", "--notimirec.transformer_layer"),
}
TOP_K = 10


@pytest.fixture(scope="module", params=SETTINGS)
def setting(request):
    return request.param


@pytest.fixture(scope="module")
def workdir(setting, small_data, finished_timirec, tmp_path_factory):
    if not SETTINGS[setting]:
        return finished_timirec[0]
    folder = tmp_path_factory.mktemp(setting) / "run"
    where = (f"--data_dir={small_data}", f"--workdir={folder}")
    outcome = launching.call("train", *SMALL_TIMIREC_RUN, *SETTINGS[setting], *where)
    assert outcome.status == 0, outcome.err
    return folder


@pytest.fixture(scope="module")
def signatures(workdir):
    return tf.saved_model.load(str(workdir / "export" / "1")).signatures


@pytest.fixture(scope="module")
def source(workdir):
    """What the run has read."""
    return finished_run.load(workdir)[""].source


@pytest.fixture(scope="module")
def targets(source):
    """Raw ids of the target's items."""
    return list(source.vocabulary("target").tokens)


@pytest.fixture(scope="module")
def histories(setting, source, targets):
    """What requests hold: long, of one item, without any that is known, empty."""
    if setting == "target":
        long, other = targets[::-3], [f"target:{item}" for item in targets[:16]]
    else:
        joint = list(source.vocabulary("joint").tokens)
        assert joint[: len(targets)] == [f"target:{item}" for item in targets]
        long, other = joint[::-7], targets
    rows = [long, long[:1], other[:16], [""]]
    return [row + [""] * (len(other) + len(long) - len(row)) for row in rows]


def test_recommends_the_best_of_all_scores(signatures, histories, targets):
    seen = [targets[:9], ["nothing known", *targets[20:28]], [""] * 9, [""] * 9]
    everything = [targets] * len(histories)
    history = tf.constant(histories)
    scored = signatures["serving_default"](history=history, candidates=tf.constant(everything))
    best = signatures["recommend"](history=history, seen_items=tf.constant(seen))
    scores = scored["scores"].numpy()
    assert np.ptp(scores[:2], axis=0).max() > 1e-3  # these users differ
    for row, hidden in enumerate(seen):
        of_item = {i: s for i, s in zip(targets, scores[row], strict=True) if i not in hidden}
        expected = sorted(of_item, key=of_item.get, reverse=True)[:TOP_K]
        assert [item.decode() for item in best["items"][row].numpy()] == expected
        np.testing.assert_allclose(
            best["scores"][row], [of_item[item] for item in expected], rtol=1e-4, atol=1e-7
        )


def test_bare_ids_and_whole_names_are_the_same_items(signatures, histories, targets):
    answers = signatures["recommend"](
        history=tf.constant(histories), seen_items=tf.constant([[""]] * len(histories))
    )

    def spelt_otherwise(name):
        return name.removeprefix("target:") if ":" in name else f"target:{name}" if name else ""

    other = [spelt_otherwise(name) for name in histories[2]]
    again = signatures["recommend"](history=tf.constant([other]), seen_items=tf.constant([[""]]))
    np.testing.assert_array_equal(answers["items"][2], again["items"][0])
    assert answers["known"].numpy().tolist() == [len(set(row) - {""}) for row in histories]


def test_who_is_unknown_gets_the_most_popular(signatures, source, histories):
    answers = signatures["recommend"](
        history=tf.constant(histories), seen_items=tf.constant([[""]] * len(histories))
    )
    target = source.vocabulary("target")
    order = np.argsort(-target.counts, kind="stable")[:TOP_K]
    assert answers["known"].numpy()[3] == 0
    found = [item.decode() for item in answers["items"][3].numpy()]
    assert found == [target.tokens[place] for place in order]
    np.testing.assert_array_equal(answers["scores"][3], target.counts[order])


def test_the_stages_are_those_that_were_asked_for(setting, workdir):
    trained = json.loads((workdir / "metrics.json").read_text())["stages"]
    expected = {"all": ["pretrain", "finetune"], "target": ["finetune"], "comirec": ["pretrain"]}
    assert list(trained) == expected[setting]


def test_interactions_are_ranked_that_have_a_history_which_is_read(setting, workdir, source):
    domains = "target" if setting == "target" else "all"
    batches = source.batches(
        "leave_one_out", "test", batch_size=64, seed=0, history_domains=domains
    )
    readable = sum(int(np.sum(batch["example_weight"])) for batch in batches)
    rows = json.loads((workdir / "metrics.json").read_text())["tables"]["test"]
    ranked = {row["interactions"] for row in rows if row["group"] == "all"}
    assert ranked == {readable}
    # Some test users are new in the target.
    assert (readable < source.num_examples("leave_one_out", "test")) == (domains == "target")


def test_the_page_shows_what_the_interests_are(setting, workdir):
    page = (workdir / "report" / "index.html").read_text()
    # ComiRec weighs no interests.
    assert ('id="interest_weights"' in page) == (setting != "comirec")
    assert "What the interests are about" in page
