"""Each pass is whole; few batches are read once, others by one iterator; readings are shared."""

import gc
import itertools
import weakref

import pytest
import tensorflow as tf

from tests.tfcdr.memory_data import MemoryData
from tfcdr.data_source import ViewRequest
from tfcdr.repeated_reading import HeldOutReadings, RepeatedReading

NEXT_ITEM = ViewRequest("next_item", {})


def counted(started):
    """Three batches of one number; `started` counts how often they are read from the beginning."""

    def begin(number):
        started.assign_add(tf.cast(number == 0, tf.int64))
        return {"number": tf.ensure_shape(number, [])}

    return tf.data.Dataset.range(3).map(begin)


@pytest.mark.parametrize("kept_bytes", [3 * 8, 3 * 8 - 1], ids=["in memory", "iterator"])
def test_every_pass_begins_at_the_beginning(kept_bytes):
    numbers = counted(tf.Variable(0, dtype=tf.int64))
    reading = RepeatedReading(numbers, steps=3, kept_bytes=kept_bytes)
    assert reading.in_memory == (kept_bytes == 24)
    assert reading.element_spec == numbers.element_spec
    for _ in range(2):
        assert [int(batch["number"]) for batch in reading] == [0, 1, 2]
    # Who leaves on the way does not shift the passes that follow.
    assert [int(batch["number"]) for batch in itertools.islice(reading, 2)] == [0, 1]
    assert [int(batch["number"]) for batch in reading] == [0, 1, 2]


@pytest.mark.parametrize("kept_bytes", [24, 0], ids=["in memory", "iterator"])
def test_the_first_batches_stay_in_memory_and_shift_nothing(kept_bytes):
    started = tf.Variable(0, dtype=tf.int64)
    reading = RepeatedReading(counted(started), steps=3, kept_bytes=kept_bytes)
    first, more = reading.first(2), reading.first(5)
    before = int(started)
    for _ in range(2):
        assert [int(batch["number"]) for batch in first] == [0, 1]
        assert [int(batch["number"]) for batch in more] == [0, 1, 2]
    assert int(started) == before
    assert first.element_spec == reading.element_spec
    assert [int(batch["number"]) for batch in reading] == [0, 1, 2]


def test_what_is_kept_is_read_once():
    started = tf.Variable(0, dtype=tf.int64)
    reading = RepeatedReading(counted(started), steps=3, kept_bytes=24)
    for _ in range(3):
        list(reading)
    assert int(started) == 1


def test_batches_of_unknown_size_do_not_stay_in_memory():
    batches = tf.data.Dataset.range(5).batch(2).map(lambda numbers: {"number": numbers})
    assert not RepeatedReading(batches, steps=3, kept_bytes=2**20).in_memory


def test_a_split_in_memory_is_one_reading_to_all():
    data = MemoryData()
    read = HeldOutReadings(data, batch_size=8, seed=0)
    whole = read(NEXT_ITEM, "validation")
    assert whole.in_memory and read(NEXT_ITEM, "validation", (0, 8)) is whole
    assert read(NEXT_ITEM, "test") is not whole
    assert read(NEXT_ITEM._replace(options={"recent": 3}), "validation") is not whole
    part = read(NEXT_ITEM, "validation", (0, 4))
    assert [len(batch["user"]) for batch in part] == [4, 4, 4]
    assert len(data.requests) == 4


def test_more_than_fits_is_opened_anew(monkeypatch):
    monkeypatch.setattr("tfcdr.repeated_reading._KEPT_BYTES", 10)
    data = MemoryData()
    read = HeldOutReadings(data, batch_size=8, seed=0)
    one, other = read(NEXT_ITEM, "validation"), read(NEXT_ITEM, "validation")
    assert not one.in_memory and one is not other
    users = [[int(user) for batch in of for user in batch["user"] if user] for of in (one, one)]
    assert users == [list(range(1, 23))] * 2


def test_all_who_read_a_source_share_its_readings_as_long_as_it_lives():
    data = MemoryData()
    read = HeldOutReadings.of(data, batch_size=8, seed=0)
    assert HeldOutReadings.of(data, batch_size=8, seed=0) is read
    assert HeldOutReadings.of(data, batch_size=4, seed=0) is not read
    assert HeldOutReadings.of(MemoryData(), batch_size=8, seed=0) is not read
    list(read(NEXT_ITEM, "validation"))
    alive = weakref.ref(data)
    del data, read
    gc.collect()
    assert alive() is None
