"""The graph function of an exported model: pairs of raw user and item ids in, probabilities out.

Signature `serving_default`:

| input | shape and type | |
| --- | --- | --- |
| `user` | string [batch] | raw user ids |
| `item` | string [batch] | raw ids of target items |

| output | shape and type | |
| --- | --- | --- |
| `liked` | float32 [batch] | probability that the user likes the item |
| `user_known`, `item_known` | int32 [batch] | 1 if training knew the id, else 0 |

An export of several targets takes one input more, `domain`; see `serving/by_domain.py`.

What a user did and liked travels with the model, as it was at the end of the log: the latest source
behaviour, and the histories that the backbone reads, 16 bytes an item and user. Who or what is
unknown is scored as the mean of all that is known: by the mean embedding, and without any
behaviour.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfcdr.data_source import ViewRequest
from tfcdr.serving import by_domain
from tfcdr.serving.saved_model import SERVING_DEFAULT, write_version
from tfcdr.serving.token_lookup import TokenLookup, write_vocabulary
from tfcdr.systems.biao.behaviour_source import BehaviourSource
from tfcdr.systems.biao.model import BiaoModel
from tfcdr.systems.biao.tables import (
    TARGET_CATEGORY,
    TARGET_ITEM,
    USER,
    Tables,
    shapes_of,
)

KNOWN_BEHAVIOUR = ViewRequest("known_behaviour", {})
_BATCH_SIZE = 4096
# Of a pair, not of what its user did.
_OF_PAIR = (USER, TARGET_ITEM, TARGET_CATEGORY, "liked", "example_weight")


class PairScorer(tf.Module):
    """Scores pairs of raw ids; see the module's docstring."""

    def __init__(
        self, model: BiaoModel, data: BehaviourSource, users: TokenLookup, items: TokenLookup
    ) -> None:
        """Reads what is known of every user.

        Args:
          model: the trained one.
          data: what it was trained on.
          users: ids of users.
          items: ids of target items.
        """
        super().__init__()
        self._model, self._users, self._items = model, users, items
        self._tables = _with_means(model)
        self._state = {
            name: tf.Variable(values, trainable=False, name=name)
            for name, values in _known(model, data).items()
        }
        of_item = data.vocabulary("target").category_of
        self._category_of = tf.Variable(of_item.astype(np.int32), trainable=False)

    def __call__(self, user: tf.Tensor, item: tf.Tensor) -> dict[str, tf.Tensor]:
        """Answers a request; see the module's docstring."""
        users, items = self._users.ids(user), self._items.ids(item)
        batch = {name: tf.gather(values, users) for name, values in self._state.items()}
        batch |= {USER: users, TARGET_ITEM: items}
        batch[TARGET_CATEGORY] = tf.gather(self._category_of, items)
        return {
            "liked": tf.sigmoid(self._model.logits(self._tables, batch).target),
            "user_known": tf.cast(users > 0, tf.int32),
            "item_known": tf.cast(items > 0, tf.int32),
        }


def export_models(
    models: Mapping[str, tuple[BiaoModel, BehaviourSource]], export_dir: Path
) -> Path:
    """Exports models as the next version; see `serving.saved_model.write_version`.

    Args:
      models: by the name of the target, a model and what it was trained on. Requests to several
        name the target.
      export_dir: the folder that the server watches.

    Returns:
      The folder of the new version.

    Raises:
      RunError: the folder cannot be written.
    """
    with tempfile.TemporaryDirectory() as folder:
        scorers: dict[str, PairScorer] = {}
        lookups = []
        for number, (target, (model, data)) in enumerate(models.items()):
            users, items = (
                TokenLookup(write_vocabulary(Path(folder) / f"{name}-{number}.txt", tokens))
                for name, tokens in (("users", _users(data)), ("items", _items(data)))
            )
            scorers[target] = PairScorer(model, data, users, items)
            lookups += [users, items]
        _, data = next(iter(models.values()))
        request = {"user": np.array([_users(data)[0], ""]), "item": np.array([_items(data)[0], ""])}
        if len(models) > 1:
            request["domain"] = np.array([next(iter(models))])
        return write_version(
            export_dir, {SERVING_DEFAULT: _signature(scorers)}, {SERVING_DEFAULT: request}, lookups
        )


def _signature(scorers: Mapping[str, PairScorer]) -> tf.types.experimental.GenericFunction:
    ids = tf.TensorSpec([None], tf.string)
    if len(scorers) == 1:
        (scorer,) = scorers.values()
        return tf.function(scorer.__call__, input_signature=[ids, ids], autograph=False)
    first = tf.constant([next(iter(scorers))])

    @tf.function(input_signature=[ids, ids, ids], autograph=False)
    def score(user: tf.Tensor, item: tf.Tensor, domain: tf.Tensor = first) -> dict[str, tf.Tensor]:
        return by_domain.answers(scorers, (user, item), domain)

    return score


def _users(data: BehaviourSource) -> list[str]:
    return data.user_names(range(1, data.num_users + 1))


def _items(data: BehaviourSource) -> Sequence[str]:
    return data.vocabulary("target").tokens


def _with_means(model: BiaoModel) -> Tables:
    """Returns the tables with the mean of all rows for unknown users and items."""
    tables = dict(model.tables)
    for name in (USER, TARGET_ITEM):
        known = tables[name][1:]
        mean = tf.reduce_mean(known, axis=0, keepdims=True)
        tables[name] = tf.Variable(tf.concat([mean, known], 0), trainable=False, name=name)
    return tables


def _known(model: BiaoModel, data: BehaviourSource) -> dict[str, np.ndarray]:
    """Returns int32 [users + 1, ...] by entry, what the model reads besides the pair itself."""
    reads = shapes_of(model.backbone.reads(), data.max_length).keys()
    state: dict[str, np.ndarray] = {}
    batches = KNOWN_BEHAVIOUR.batches(data, "test", _BATCH_SIZE, seed=0)
    for batch in batches.as_numpy_iterator():
        for name in reads - set(_OF_PAIR):
            values = batch[name]
            if name not in state:
                state[name] = np.zeros((data.num_users + 1, *values.shape[1:]), np.int32)
            state[name][batch["user"]] = values
            state[name][0] = 0  # of rows that fill up the last batch
    return state
