"""TiMiRec's sections of the report show what the model computes, by the names of items."""

import dataclasses

import matplotlib.figure
import numpy as np
import pytest
import tensorflow as tf

from tests.tfcdr.memory_data import SOURCES, TARGETS, MemoryData
from tfcdr.systems.timirec import report
from tfcdr.systems.timirec.config import TiMiRecConfig
from tfcdr.systems.timirec.system import TiMiRec

INTERESTS = 3
SMALL = TiMiRecConfig(embedding_size=8, attention_size=4, interests=INTERESTS)
USERS = 22


class Names:
    def item(self, space, item):
        return f"{space} film {item}"

    def user(self, user):
        return f"person {user}"


def build(**fields):
    """A model of the last stage whose weights are large enough to tell interests apart."""
    config, data = dataclasses.replace(SMALL, **fields), MemoryData(USERS)
    model = TiMiRec().build(TiMiRec().stages(config)[-1].name, config, data, seed=0)
    random = np.random.default_rng(3)
    model.set_weights([random.normal(size=weight.shape) for weight in model.get_weights()])
    return config, model, data


def sections(config, model, data):
    return {
        section.name: section for section in TiMiRec().report_sections(config, model, data, Names())
    }


@pytest.fixture(scope="module")
def built():
    return build()


@pytest.fixture(scope="module")
def drawn(built):
    return sections(*built)


@pytest.fixture(scope="module")
def rows(built):
    """The evaluation examples by the name of their user."""
    config, _, data = built
    batches = TiMiRec().stages(config)[-1].evaluation.batches(data, "test", USERS, 0)
    batch = next(batches.as_numpy_iterator())
    return {
        f"person {user}": (batch["history"][row], batch["target_item"][row])
        for row, user in enumerate(batch["user"])
    }


def heights(axes):
    return [[bar.get_height() for bar in bars] for bars in axes.containers]


def test_bars_are_the_predicted_and_the_target_weights_of_the_panels_user(built, drawn, rows):
    _, model, _ = built
    figure = drawn["interest_weights"].content
    assert isinstance(figure, matplotlib.figure.Figure)
    assert len({axes.get_title() for axes in figure.axes}) == len(figure.axes) == 12
    for axes in figure.axes:
        user, target = axes.get_title().removeprefix("user ").split("\nnext: ")
        history, item = (tf.constant([value]) for value in rows[user])
        assert target == f"target film {int(item[0])}"
        predicted, taught = heights(axes)
        np.testing.assert_allclose(predicted, model.interest_weights(history)[0], rtol=1e-4)
        expected = model.target_interest_weights(history, item)[0]
        np.testing.assert_allclose(taught, expected, rtol=1e-4)
        assert np.abs(np.subtract(predicted, taught)).max() > 0.01


def test_table_has_a_row_for_each_interest_and_the_weights_of_the_picture(drawn):
    table, figure = drawn["interests"].content, drawn["interest_weights"].content
    assert table["interest"].tolist() == [1, 2, 3] * 12
    columns = ("predicted weight", "weight in hindsight")
    for number, axes in enumerate(figure.axes):
        of_user = table.iloc[INTERESTS * number : INTERESTS * (number + 1)]
        assert f"user {of_user.index[0][0]}\n" in axes.get_title()
        for column, bars in zip(columns, heights(axes), strict=True):
            assert of_user[column].tolist() == [f"{100 * height:.0f} %" for height in bars]


def test_table_shows_histories_newest_first_in_their_own_item_space(drawn, rows):
    for user, latest, target in drawn["interests"].content.index:
        history, item = rows[user]
        shown = [f"joint film {one}" for one in history[history > 0][::-1]]
        assert latest.split("\n") == shown
        assert target == f"target film {item}"


def test_nearest_items_have_the_largest_inner_products(built, drawn, rows):
    _, model, _ = built
    table = drawn["interests"].content
    items = model.item_factors()[0].numpy()
    assert len(items) == 1 + TARGETS + SOURCES
    for (user, *_), of_user in table.groupby(level=[0, 1, 2], sort=False):
        interests = model.interests(tf.constant([rows[user][0]]))[0].numpy()
        for interest, shown in zip(interests, of_user["nearest items"], strict=True):
            ranked = sorted(range(1, TARGETS + 1), key=lambda item: -(items[item] @ interest))
            assert shown.split("; ") == [f"target film {item}" for item in ranked[:5]]


def test_a_model_without_predictor_shows_its_interests_alone():
    drawn = sections(*build(stages="pretrain", history_domains="target"))
    assert drawn.keys() == {"interests"}
    table = drawn["interests"].content
    assert list(table) == ["interest", "nearest items"]
    assert all(latest.startswith("target film") for _, latest, _ in table.index)
    assert "weights" not in drawn["interests"].reading


def test_a_page_says_of_which_member_of_an_ensemble_it_is():
    config, model, data = build(stages="pretrain", blend_neighbours="cosine", ensemble_members=2)
    shown = sections(config, model, data)["interests"]
    assert shown.reading.startswith("Of the first of 2 models")
    first = model.model.members[0]
    (alone,) = report.sections(TiMiRec().stages(config)[-1], first, data, "joint", Names())
    assert shown.content.equals(alone.content)


def test_a_long_history_says_how_much_is_not_shown():
    history = np.array([0, 0, *range(1, 9)])
    assert report._latest(history, "joint", Names()).split("\n") == [
        *(f"joint film {item}" for item in (8, 7, 6, 5, 4, 3)),
        "and 2 more",
    ]


def test_titles_of_any_length_and_any_sign_are_drawn(tmp_path):
    weights = np.full((2, INTERESTS), 1 / 3)
    titles = ["$\\frac{1}$ & $ $", "word " * 40]
    figure = report.weights_figure(["ann", "bob"], titles, weights, weights)
    figure.savefig(tmp_path / "weights.png")
    assert "$\\frac{1}$ & $ $" in figure.axes[0].get_title()
    assert len(figure.axes[1].get_title()) < 60
    # A line of three panels, the last of them empty.
    assert [axes.axison for axes in figure.axes] == [True, True, False]


def test_without_a_history_to_read_nothing_is_drawn(built):
    config, model, _ = built
    stage = TiMiRec().stages(config)[-1]

    class Nobody(MemoryData):
        def batches(self, *args, **kwargs):
            empty = super().batches(*args, **kwargs)
            return empty.map(
                lambda batch: {**batch, "example_weight": tf.zeros_like(batch["example_weight"])}
            )

    assert report.sections(stage, model, Nobody(USERS), "joint", Names()) == ()
