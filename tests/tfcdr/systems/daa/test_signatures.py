"""What an exported model answers."""

import numpy as np
import pytest
import tensorflow as tf

from tests.tfcdr.systems.daa.small import FIELD_SIZES, NUMERICAL, columns, config
from tfcdr.systems.daa.signatures import export_model, input_names
from tfcdr.systems.daa.task_model import TaskModel

NAMES = ("country", "page"), ("price", "stars")


@pytest.fixture(scope="module")
def model():
    return TaskModel(config(), FIELD_SIZES, NUMERICAL)


@pytest.fixture(scope="module")
def answer(model, tmp_path_factory):
    """The exported signature."""
    folder = tmp_path_factory.mktemp("export")
    path = export_model(model, folder, categorical=NAMES[0], numerical=NAMES[1])
    assert path == folder / "1"
    loaded = tf.saved_model.load(str(path))
    signature = loaded.signatures["serving_default"]
    signature.loaded = loaded  # Or its variables go.
    return signature


def request(rows=6, **changes):
    batch = columns(rows=rows)
    named = {name: tf.cast(batch["categorical"][:, i], tf.int64) for i, name in enumerate(NAMES[0])}
    named.update({name: batch["numerical"][:, i] for i, name in enumerate(NAMES[1])})
    return {**named, **changes}


def test_columns_by_name_give_the_model_probabilities(model, answer):
    batch = columns(rows=6)
    expected = model.probabilities(batch["categorical"], batch["numerical"])
    answered = answer(**request())
    np.testing.assert_allclose(answered["click"], expected[:, 0], rtol=1e-5)
    np.testing.assert_allclose(answered["conversion"], expected[:, 1], rtol=1e-5)
    one_row = answer(**{name: values[:1] for name, values in request().items()})
    np.testing.assert_allclose(one_row["click"], expected[:1, 0], rtol=1e-5)


def test_an_unseen_category_counts_as_none(model, answer):
    answers = [
        answer(**request(rows=1, country=tf.constant([value], tf.int64)))["click"].numpy()
        for value in (FIELD_SIZES[0], -1, 2**40, -(2**40))
    ]
    assert len({value.item() for value in answers}) == 1
    table = model.network.embedding.table
    before = table.numpy()
    known = columns(rows=1)["categorical"].numpy()
    try:
        changed = before.copy()
        changed[known[0, 0]] = 0  # the row of a known value, whose vector is then none's
        table.assign(changed)
        batch = columns(rows=1)
        by_hand = model.probabilities(batch["categorical"], batch["numerical"])[0, 0]
    finally:
        table.assign(before)
    assert answers[0].item() == pytest.approx(float(by_hand), rel=1e-5)


def test_a_purchase_is_never_likelier_than_the_click_before_it(model):
    tower = [weight for weight in model.trainable_variables if weight.shape == (2,)][-1]
    before = tower.numpy()
    try:
        tower.assign([-3.0, 3.0])  # The towers' last biases: of click and conversion.
        answered = model.probabilities(*(columns(rows=4)[k] for k in ("categorical", "numerical")))
    finally:
        tower.assign(before)
    np.testing.assert_array_equal(answered[:, 0], answered[:, 1])
    assert (answered.numpy() < 0.3).all()


def test_raw_values_are_looked_up_and_clicks_may_be_all_there_is(tmp_path):
    model = TaskModel(config(), FIELD_SIZES, 0, tasks=("click",))
    values = ("", "68fd1e64"), ("true", "-1", "x")
    path = export_model(model, tmp_path, categorical=NAMES[0], numerical=(), field_values=values)
    loaded = tf.saved_model.load(str(path))
    answered = loaded.signatures["serving_default"](
        country=tf.constant(["68fd1e64", "", "nobody's"]), page=tf.constant(["x", "new", "true"])
    )
    assert set(answered) == {"click"}
    ids = tf.constant([[2, 3], [1, 0], [0, 1]])
    expected = model.probabilities(ids, tf.zeros([3, 0]))
    assert expected.shape == (3, 1)
    np.testing.assert_allclose(answered["click"], expected[:, 0], rtol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_that_is_none_is_refused_by_name(answer, value):
    with pytest.raises(tf.errors.InvalidArgumentError, match="column stars must be finite"):
        answer(**request(rows=2, stars=tf.constant([1.0, value])))


def test_columns_whose_names_no_signature_takes(model, tmp_path, capsys):
    """Ali-CCP's are numbers; the names of the others stay theirs."""
    names = ["101", "class", "user id", "user_id", "user.id", "_x", "né"]
    assert input_names(names) == [
        *("column_101", "column_class", "user_id_2", "user_id", "user_id_3", "column__x", "n_"),
    ]
    path = export_model(model, tmp_path, categorical=("101", "301"), numerical=NAMES[1])
    assert "column_101 for 101, column_301 for 301" in capsys.readouterr().out
    loaded = tf.saved_model.load(str(path))
    batch = columns(rows=6)
    asked = {
        f"column_{k}": tf.cast(batch["categorical"][:, i], tf.int64)
        for i, k in enumerate((101, 301))
    }
    asked |= {name: batch["numerical"][:, i] for i, name in enumerate(NAMES[1])}
    expected = model.probabilities(batch["categorical"], batch["numerical"])
    answered = loaded.signatures["serving_default"](**asked)
    np.testing.assert_allclose(answered["click"], expected[:, 0], rtol=1e-5)
