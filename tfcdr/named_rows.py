"""Rows of a model's variables by what they stand for, so that it starts from one of other data.

Ids follow the counts of a log, so that an item of yesterday's has another one today. Its name in
the log is the same.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfcdr.data_source import Vocabulary
from tfcdr.errors import RunError

# Stands for padding, or for nothing; no item is called so, since its name has a colon.
NO_ITEM = ""


class NamedRows(NamedTuple):
    """A variable with a row for each of something that has a name.

    Attributes:
      variable: [n, ...].
      names: what each row stands for, n distinct ones.
    """

    variable: tf.Variable
    names: Sequence[str]


class Overlap(NamedTuple):
    """What of a model's named rows another model has, each name counted once.

    Attributes:
      known: names of both.
      new: names that the other model does not have.
      gone: names that the other model alone has.
    """

    known: int
    new: int
    gone: int


def whole_names(vocabulary: Vocabulary) -> list[str]:
    """Returns every item as `domain:item`, in the order of ids; no domain has a colon."""
    return with_domain(vocabulary, vocabulary.tokens)


def with_domain(vocabulary: Vocabulary, names: Sequence[str]) -> list[str]:
    """Returns names of a vocabulary as `domain:name`, as they are already if it has several."""
    sizes = vocabulary.domain_sizes
    if len(sizes) > 1:
        return list(names)
    (domain,) = sizes
    return [f"{domain}:{name}" for name in names]


def start_from(
    model: tf.keras.Model,
    rows: Sequence[NamedRows],
    previous: tf.keras.Model,
    previous_rows: Sequence[NamedRows],
) -> Overlap:
    """Copies a model's weights into another, rows with a name to the row of the same name.

    Rows whose name the previous model does not have keep their start.

    Args:
      model: is changed.
      rows: its variables with named rows.
      previous: a model of the same configuration, of other data.
      previous_rows: its variables with named rows.

    Raises:
      RunError: the models differ in more than their named rows.
    """
    if len(model.variables) != len(previous.variables):
        raise RunError(
            f"its model has {len(previous.variables)} variables, this run's "
            f"{len(model.variables)}: it is of another configuration."
        )
    names, previous_names = _by_variable(rows), _by_variable(previous_rows)
    for variable, source in zip(model.variables, previous.variables, strict=True):
        is_named = variable.ref() in names
        shape, found = (
            [*each.shape][1:] if is_named else [*each.shape] for each in (variable, source)
        )
        if shape != found or is_named != (source.ref() in previous_names):
            raise RunError(
                f"its variable {variable.name} has the shape {[*source.shape]}, this run's "
                f"{[*variable.shape]}: it is of another configuration."
            )
    own = {name for of in names.values() for name in of} - {NO_ITEM}
    theirs = {name for of in previous_names.values() for name in of} - {NO_ITEM}
    for variable, source in zip(model.variables, previous.variables, strict=True):
        if variable.ref() not in names:
            variable.assign(source)
            continue
        places = {name: place for place, name in enumerate(previous_names[source.ref()])}
        place = np.array([places.get(name, -1) for name in names[variable.ref()]], np.int64)
        known = (place >= 0).reshape(-1, *[1] * (len(variable.shape) - 1))
        values = source.numpy()[np.maximum(place, 0)]
        variable.assign(np.where(known, values, variable.numpy()))
    return Overlap(len(own & theirs), len(own - theirs), len(theirs - own))


def _by_variable(rows: Sequence[NamedRows]) -> Mapping[object, Sequence[str]]:
    return {variable.ref(): names for variable, names in rows}
