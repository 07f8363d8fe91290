"""One iterator reads all passes; each pass is whole."""

import itertools

import tensorflow as tf

from tfcdr.repeated_reading import RepeatedReading


def test_every_pass_begins_at_the_beginning():
    numbers = tf.data.Dataset.range(3)
    reading = RepeatedReading(numbers, steps=3)
    assert reading.element_spec == numbers.element_spec
    for _ in range(2):
        assert [int(number) for number in reading] == [0, 1, 2]
    # Who leaves on the way does not shift the passes that follow.
    assert [int(number) for number in itertools.islice(reading, 2)] == [0, 1]
    assert [int(number) for number in reading] == [0, 1, 2]
