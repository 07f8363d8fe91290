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

What a user did and liked travels with the model, as it was at the end of the log: the latest source
behaviour, and the histories that the backbone reads, 16 bytes an item and user. Who or what is
unknown is scored as the mean of all that is known: by the mean embedding, and without any
behaviour.
"""

import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfcdr.data_source import DataSource, ViewRequest
from tfcdr.serving.saved_model import SERVING_DEFAULT, write_version
from tfcdr.serving.token_lookup import TokenLookup, write_vocabulary
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
        self, model: BiaoModel, data: DataSource, users: TokenLookup, items: TokenLookup
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


def export_model(model: BiaoModel, data: DataSource, export_dir: Path) -> Path:
    """Exports a model as the next version; see `serving.saved_model.write_version`.

    Args:
      model: the model to serve.
      data: what it was trained on.
      export_dir: the folder that the server watches.

    Returns:
      The folder of the new version.

    Raises:
      RunError: the folder cannot be written.
    """
    names = data.user_names(range(1, data.num_users + 1))
    tokens = data.vocabulary("target").tokens
    with tempfile.TemporaryDirectory() as folder:
        users = TokenLookup(write_vocabulary(Path(folder) / "users.txt", names))
        items = TokenLookup(write_vocabulary(Path(folder) / "items.txt", tokens))
        scorer = PairScorer(model, data, users, items)
        spec = {name: tf.TensorSpec([None], tf.string, name=name) for name in ("user", "item")}
        signature = tf.function(scorer.__call__).get_concrete_function(**spec)
        request = {"user": np.array([names[0], ""]), "item": np.array([tokens[0], ""])}
        return write_version(
            export_dir,
            {SERVING_DEFAULT: signature},
            {SERVING_DEFAULT: request},
            [users, items],
        )


def _with_means(model: BiaoModel) -> Tables:
    """Returns the tables with the mean of all rows for unknown users and items."""
    tables = dict(model.tables)
    for name in (USER, TARGET_ITEM):
        known = tables[name][1:]
        mean = tf.reduce_mean(known, axis=0, keepdims=True)
        tables[name] = tf.Variable(tf.concat([mean, known], 0), trainable=False, name=name)
    return tables


def _known(model: BiaoModel, data: DataSource) -> dict[str, np.ndarray]:
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
