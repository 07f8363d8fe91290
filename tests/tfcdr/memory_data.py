"""A prepared data set held in memory, in the layout of the views that the systems read."""

import dataclasses

import numpy as np
import tensorflow as tf

from tests.tfcdr.epoch_by_epoch import EpochByEpoch

LENGTH = 5
SOURCES, TARGETS = 14, 9
ROWS = SOURCES + 3
CLS, MASK = SOURCES + 1, SOURCES + 2


@dataclasses.dataclass(frozen=True)
class MemoryVocabulary:
    size: int

    @property
    def rows(self):
        return self.size + 3

    @property
    def domain_sizes(self):
        return {"one": self.size}

    @property
    def counts(self):
        return np.arange(self.size, 0, -1)

    @property
    def tokens(self):
        return tuple(f"item {number}" for number in range(1, self.size + 1))


class MemoryData(EpochByEpoch):
    """Histories of `users` users that climb from item to item; every split holds the same.

    The target item follows from the last source item. A batch depends only on (seed, epoch), as
    with records. `requests` lists every reading. A test of a system with a view of its own derives
    a class with a method of that name.
    """

    fingerprint = shared_fingerprint = "in memory"
    max_length = LENGTH

    def __init__(self, users=22, seed=0, sources=SOURCES, targets=TARGETS):
        self._random = np.random.default_rng(seed)
        self._users = users
        self._vocabularies = {
            "source": MemoryVocabulary(sources),
            "target": MemoryVocabulary(targets),
            "joint": MemoryVocabulary(targets + sources),
        }
        starts = self._random.integers(0, sources, (users, 1))
        histories = (starts + np.arange(LENGTH + 1)) % sources + 1
        for row, length in enumerate(self._random.integers(2, LENGTH + 2, users)):
            histories[row, : LENGTH + 1 - length] = 0
        self._histories = histories
        self._targets = histories[:, -1] % targets + 1
        self.requests = []

    def vocabulary(self, space):
        return self._vocabularies[space]

    @property
    def num_users(self):
        return self._users

    def training_histories(self, space, most):
        histories = self._of_space(space)[:, -most:]
        row, place = np.nonzero(histories)
        yield row, histories[row, place], np.ones(len(row), np.float32)

    def _of_space(self, space):
        """Histories with ids of a space, of the sources' alone in "source"."""
        if space == "source":
            return self._histories
        targets = self._vocabularies["target"].size
        if space == "target":  # as view leave_one_out has them
            return np.concatenate(
                [np.minimum(self._histories, targets), self._targets[:, np.newaxis]], 1
            )
        sources = np.where(self._histories > 0, self._histories + targets, 0)
        return np.concatenate([sources, self._targets[:, np.newaxis]], 1)

    def num_examples(self, view, split, **options):
        return self._users

    def user_names(self, users):
        return [f"user {user}" for user in users]

    def batches(
        self, view, split, *, batch_size, seed, epoch=0, rows=None, shuffled=True, **options
    ):
        self.requests.append((view, split, options))
        random = np.random.default_rng([seed, epoch])
        order = (
            random.permutation(self._users)
            if shuffled and split == "train"
            else np.arange(self._users)
        )
        columns = getattr(self, f"_{view}")(split, random, options)
        if "recent" in options and split != "train":
            space = "source" if view in ("next_item", "masked_item") else "joint"
            columns["recent_items"] = self._of_space(space)[:, :-1][:, -options["recent"] :]
        columns["user"] = np.arange(1, self._users + 1)
        columns["example_weight"] = np.ones(self._users, np.float32)
        missing = -self._users % batch_size
        arrays = {}
        for key, values in columns.items():
            dtype = np.float32 if key.endswith("weight") else np.int32
            filler = np.zeros((missing, *values.shape[1:]))
            arrays[key] = np.concatenate([values[order], filler]).astype(dtype)
        batches = tf.data.Dataset.from_tensor_slices(arrays).batch(batch_size, drop_remainder=True)
        first, last = rows or (0, batch_size)
        return batches.map(lambda batch: {key: value[first:last] for key, value in batch.items()})

    def _next_item(self, split, random, options):
        return {"items": self._histories}

    def _masked_item(self, split, random, options):
        items = self._histories[:, 1:].copy()
        places = np.full((self._users, 2), LENGTH - 1)
        if split == "train":
            places[:, 0] = LENGTH - 2
        labels = np.take_along_axis(items, places, 1)
        weight = (labels > 0).astype(np.float32)
        if split != "train":
            weight[:, 1] = 0
        np.put_along_axis(items, places, MASK, 1)
        return {
            "masked_items": items,
            "positions": places,
            "labels": labels,
            "label_weight": weight,
        }

    def _transfer(self, split, random, options):
        ends = np.full((self._users, 1), CLS)
        before = [ends] if options["cls"] == "both" else []
        context = np.concatenate([*before, self._histories[:, 1:], ends], 1)
        return {"context": context, **self._target_items(split, random, options)}

    def _leave_one_out(self, split, random, options):
        history, targets = self._histories[:, 1:], self._vocabularies["target"].size
        if options["history_domains"] == "all":
            history = np.where(history > 0, history + targets, 0)
        else:
            history = np.minimum(history, targets)
        return {"history": history, **self._target_items(split, random, options)}

    def _target_items(self, split, random, options):
        columns = {"target_item": self._targets}
        targets = self._vocabularies["target"].size
        if split == "train":
            shape = (self._users, options["negatives"])
            other = self._targets[:, np.newaxis] + random.integers(0, targets - 1, shape)
            columns["negative_items"] = other % targets + 1
            return columns
        columns["seen_items"] = np.zeros((self._users, 2))
        columns["cold"] = np.arange(self._users) % 2
        if "candidates" in options:
            others = np.arange(1, options["candidates"] + 1)
            others = (self._targets[:, np.newaxis] + others - 1) % targets + 1
            columns["candidates"] = np.concatenate([self._targets[:, np.newaxis], others], 1)
        return columns


def training_batch(data, view, batch_size=22, **options):
    """Returns the first training batch of a view."""
    return next(
        iter(data.batches(view, "train", batch_size=batch_size, seed=0, epoch=0, **options))
    )
