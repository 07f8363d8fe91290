"""A data set of interactions as a run reads it: domains with roles, item spaces, batches."""

import dataclasses
import functools
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from data_pipelines.coding.vocabulary import ItemSpace
from data_pipelines.errors import DataError
from data_pipelines.logs import PARTS
from data_pipelines.parts import REPEATED, TRAIN
from data_pipelines.prepared import role_census
from data_pipelines.prepared.dataset import (
    PreparedData,
    batching,
    check_reading,
    fingerprint,
)
from data_pipelines.prepared.role_census import DomainSize, RoleCounts
from data_pipelines.splitting.split_log import FEWEST
from data_pipelines.views import VIEWS
from data_pipelines.views.example_batches import (
    Cut,
    Cutter,
    ExampleReader,
    count_examples,
    traced,
    users_of_examples,
)
from data_pipelines.views.example_options import ExampleOptions
from data_pipelines.views.items_left import ItemsNeeded, only
from data_pipelines.views.roles import Assignment, RoleRecords, Roles, cast
from data_pipelines.views.user_records import UserRecords
from data_pipelines.views.view import HistoryRead, View


class InteractionSource:
    """A data set of interactions in the eyes of a run.

    Attributes:
      prepared: the data set.
      roles: which domains are read and what for.
      options: how examples are cut.
      shared_readings: empty at first; what all who read it keep with it, by keys of theirs.
    """

    def __init__(self, prepared: PreparedData, roles: Roles, options: ExampleOptions) -> None:
        """Remembers what to read; nothing is read before it is needed."""
        self.prepared = prepared
        self.roles = roles
        self.options = options
        self.shared_readings: dict[Hashable, Any] = {}
        self._examples: dict[tuple[str, str, ItemsNeeded], int] = {}
        self._cutters: dict[tuple[str, str, ItemsNeeded], Cutter] = {}
        # Users of the rows that are left out, by view, split and what is needed.
        self._left_out: dict[tuple[str, str, ItemsNeeded], np.ndarray] = {}
        self._readers: dict[tuple[Hashable, ...], ExampleReader] = {}

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hex sha256 of the data set, the roles and how examples are cut."""
        roles = dataclasses.asdict(self.roles)
        if not roles["joint"]:
            del roles["joint"]  # Runs of before there was the choice keep their fingerprint.
        return fingerprint(self.prepared.fingerprint, roles, dataclasses.asdict(self.options))

    @functools.cached_property
    def shared_fingerprint(self) -> str:
        """Hex sha256 of what a stage that reads no target learns about: items and their ids."""
        return fingerprint(self.prepared.fingerprint, self.roles.sources, self.max_length)

    @property
    def settings(self) -> dict[str, Any]:
        """What JSON keeps of the roles and of how examples are cut; see `reading.reopen`."""
        roles = {"target": self.roles.target, "sources": list(self.roles.sources)}
        targets = {"targets": list(self.roles.targets), "joint": self.roles.joint}
        return {**roles, **targets, "examples": dataclasses.asdict(self.options)}

    @property
    def max_length(self) -> int:
        """T, the number of items in a context."""
        return self.options.max_length

    @property
    def num_users(self) -> int:
        """Number of users; their ids are from 1."""
        return len(self.prepared.users)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the source domains."""
        return self.roles.sources

    @property
    def transfers(self) -> bool:
        """Whether anything is read besides a single target."""
        return bool(self.roles.sources) or len(self.roles.predicted) > 1

    @property
    def weighs_events(self) -> bool:
        """Whether the ratings are weights of kinds of event, by `--read.event_weights`."""
        return bool(self.prepared.metadata["options"].get("read", {}).get("event_weights"))

    def user_names(self, users: Sequence[int]) -> list[str]:
        """Returns the raw ids of users by their ids, from 1."""
        return [self.prepared.users[user - 1] for user in users]

    def vocabulary(self, space: str) -> ItemSpace:
        """Returns item space `source`, `target` or `joint`.

        Raises:
          DataError: the roles make no such space.
        """
        if space not in self._spaces:
            role = "source" if space == "source" else "target"
            raise DataError(
                f"{self.prepared.data_dir}: no domain is a {role}, so that there is no item space "
                f"{space!r}; see --target and --sources."
            )
        return self._spaces[space]

    def num_examples(self, view: str, split: str, **options: Any) -> int:
        """Returns the number of examples of a split; 0 if it is empty.

        Args:
          view: a name from `VIEWS`.
          split: "train", "validation" or "test".
          **options: fields of the view's `Batching`; how many items are drawn may change the
            number, since who has taken too many of them is left out.

        Raises:
          DataError: there is no such view, or it cannot be cut from these data.
        """
        kind = self._view(view)
        read = self._read(kind, split, batching(view, kind.batching, options))
        key = view, split, read.needed
        if key not in self._examples:
            self._examples[key] = count_examples(self.prepared.records, self._cutter(kind, read))
            if read.needed.least:
                cut = self._cut(kind, read, left_out=True)
                self._left_out[key] = users_of_examples(self.prepared.records, cut)
        return self._examples[key]

    def left_out(self) -> list[str]:
        """Says, in a line or none, what was left out of the splits that were read or counted.

        These are rows of users who have taken so much that too few items are left to draw.
        """
        rows: dict[str, int] = {}
        users, least = [np.zeros(0, np.int64)], 0
        for (_, split, needed), of_rows in self._left_out.items():
            rows[split] = max(rows.get(split, 0), len(of_rows))
            users.append(of_rows)
            least = max(least, needed.least)
        number = len(np.unique(np.concatenate(users)))
        if not number:
            return []
        told = ", ".join(f"{rows[split]:,} {split}" for split in PARTS if rows.get(split))
        return [
            f"left out: {told} rows of {number:,} user{'s' * (number > 1)} to whom too few items "
            f"of {', '.join(self.roles.predicted)} are left to draw from"
            + (f"; evaluation draws {least}, see --evaluation.negatives" if least > 1 else "")
        ]

    def batches(
        self,
        view: str,
        split: str,
        *,
        batch_size: int,
        seed: int,
        epoch: int = 0,
        rows: tuple[int, int] | None = None,
        shuffled: bool | None = None,
        **options: Any,
    ) -> tf.data.Dataset:
        """Reads one epoch of one split; see `epochs`."""
        return self.epochs(
            view,
            split,
            batch_size=batch_size,
            seed=seed,
            epochs=[epoch],
            rows=rows,
            shuffled=shuffled,
            **options,
        )

    def epochs(
        self,
        view: str,
        split: str,
        *,
        batch_size: int,
        seed: int,
        epochs: Sequence[int],
        steps: Sequence[int] | None = None,
        rows: tuple[int, int] | None = None,
        shuffled: bool | None = None,
        **options: Any,
    ) -> tf.data.Dataset:
        """Reads epochs of one split, one behind the other.

        Args:
          view: a name from `VIEWS`; its module's docstring gives the batch's entries.
          split: "train", "validation" or "test"; the last two are the same in every epoch.
          batch_size: B, also of the last batch.
          seed: with an epoch's number, decides everything random in it.
          epochs: their numbers, from 0.
          steps: how many batches of each are wanted; all by default.
          rows: [first, last) of each batch that this process reads, so that processes can share
            batches whose contents do not depend on their number; all by default.
          shuffled: whether the examples come in another order in each epoch rather than in that of
            the records; by default those of "train" do.
          **options: fields of the view's `Batching`.

        Raises:
          DataError: there is no such view, the split is empty, a file is missing or truncated, an
            option is unknown or wrong, or the data cannot give what it asks for.
        """
        kind = self._view(view)
        chosen = batching(view, kind.batching, options)
        examples = self.num_examples(view, split, **options)
        named = ",".join(self.roles.predicted)
        target = f"target {named}, " if named else ""
        what = f"{self.prepared.data_dir}: {target}split {split} of view {view}"
        read = self._read(kind, split, chosen)
        if not examples and len(self._left_out.get((view, split, read.needed), ())):
            kind.assembler(read, chosen)  # It may know more of the cause.
            raise DataError(
                f"{what} is empty (n = 0): every user has taken so many items that fewer than "
                f"{read.needed.least} are left to draw."
            )
        check_reading(what, examples, batch_size)
        read = dataclasses.replace(
            read,
            shuffled=split == "train" if shuffled is None else shuffled,
            batch_size=batch_size,
            rows=rows or (0, batch_size),
            seed=seed,
            examples=examples,
        )
        # A reader is traced once for all readings.
        key = (view, chosen, read.split, read.shuffled, read.batch_size, read.rows, read.seed)
        if key not in self._readers:
            cut, assemble = self._cutter(kind, read), kind.assembler(read, chosen)
            self._readers[key] = ExampleReader(self.prepared.records, read, cut, assemble)
        return self._readers[key](epochs, steps)

    def training_histories(
        self, space: str, most: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Gives what trains, some thousand users at once: what a model is fitted to as a whole.

        These are the target's training interactions and, of sources, those before their user's
        first held-out label. Space "source" has those alone that pre-training reads.

        Args:
          space: "source", "target" or "joint"; its items alone are given.
          most: a user's latest interactions, so many at most.

        Yields:
          Of one interaction after the other, a user's in order of time: int64 [n], the user's
          number among those given at once, from 0, rising; int64 [n], the item's id; and float32
          [n], how much the interaction counts: by its kind if `weighs_events`, else 1.
        """
        chosen = self.vocabulary(space)
        shifts = chosen.shifts()
        in_space = np.isin(np.arange(len(shifts)), chosen.chosen)
        for records in self.role_records():
            trains = records.is_target & (records.parts == TRAIN)
            of_sources = records.is_source & records.before_held_out
            if space == "source":
                of_sources &= records.parts == TRAIN
            (places,) = np.nonzero((trains | of_sources) & in_space[records.domains])
            row = records.row[places]
            ends = np.searchsorted(row, row, side="right")
            latest = ends - np.arange(len(row)) <= most
            row, places = row[latest], places[latest]
            items = records.items[places] + shifts[records.domains[places]]
            weights = records.ratings[places] if self.weighs_events else np.ones(len(row))
            yield row, items, weights.astype(np.float32)

    def role_records(self) -> Iterator[RoleRecords]:
        """Gives what users did in the run's domains and what each of it is, as NumPy arrays.

        Yields:
          Some thousand users at once, each user of the data set once.
        """
        for window in self.prepared.records.each(lambda records: cast(records, self._assignment)):
            yield RoleRecords(*(tensor.numpy() for tensor in window))

    def whole_histories(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Gives all that users did in the run's domains, some thousand users at once.

        Whatever part an interaction is of, it is history to what comes next; so are those of users
        with too few in a target to hold some out. Repeated ones in a target are left out, as from
        all that a run reads. With `source_history=all`, a user's sources come before the targets.

        Yields:
          int64 [U], users' ids, each user of the data set once; int64 [U + 1], where the items of
          each begin and where they end; and int64 [n], the items, oldest first: ids of space
          "joint", or "source" if there is no target.
        """
        space = self.vocabulary("joint" if self.roles.predicted else "source")
        shifts = space.shifts()
        in_space, in_target = np.zeros((2, len(shifts)), bool)
        in_space[list(space.chosen)] = True
        in_target[list(self.roles.numbers(self.roles.predicted))] = True
        for window in self._windows():
            records = UserRecords(*(tensor.numpy() for tensor in window))
            domains = records.domains
            row = np.repeat(np.arange(len(records.user)), np.diff(records.splits))
            repeated = in_target[domains] & (records.parts == REPEATED)
            (places,) = np.nonzero(in_space[domains] & ~repeated)
            if self.options.source_history == "all":
                places = places[np.lexsort((in_target[domains[places]], row[places]))]
            splits = np.searchsorted(row[places], np.arange(len(records.user) + 1))
            yield records.user, splits, records.items[places] + shifts[domains[places]]

    def summary(self) -> list[str]:
        """Returns the roles and splits as a table for people, and what is left out."""
        sizes = np.diff(self.prepared.items.starts).tolist()
        metadata = self.prepared.metadata
        lines = role_census.summary_lines(self.roles, self._counts, sizes)
        for name in self.roles.predicted:
            no_labels = metadata["no_labels"].get(name, {})
            if any(no_labels.values()):
                lines.append(
                    f"no labels of {name}: {no_labels['repeated']:,} repeated "
                    f"interactions, {no_labels['too_few']:,} of users with fewer than {FEWEST}"
                )
        dropped = metadata["dropped"].items()
        return [*lines, *(f"dropped: {what}: {count:,}" for what, count in dropped)]

    def domain_sizes(self) -> list[DomainSize]:
        """Returns how large each domain is, the sources first."""
        sizes = np.diff(self.prepared.items.starts).tolist()
        return role_census.domain_sizes(self.roles, self._counts, sizes)

    def trained_too_late(self, pretrained: "InteractionSource") -> tuple[int, int]:
        """Counts what a pre-trained run has read that pre-training for this one would not have.

        Args:
          pretrained: the same data set with the roles of that run.

        Returns:
          Source interactions at or after their user's first held-out label, and their users.
        """
        interactions = users = 0
        assignments = []
        for source in (pretrained, self):
            alone = dataclasses.replace(
                source.roles, target="", joint=False, sources=self.roles.sources
            )
            assignments.append(source._assignment._replace(roles=alone))
        for window in self._windows():
            theirs, ours = (cast(window, each) for each in assignments)
            trained = (theirs.parts == TRAIN) & theirs.before_held_out
            late = (trained & ~ours.before_held_out).numpy()
            interactions += int(late.sum())
            users += len(np.unique(ours.row.numpy()[late]))
        return interactions, users

    def _windows(self) -> Iterable[UserRecords]:
        return self.prepared.records.each(lambda records: records)

    @functools.cached_property
    def _assignment(self) -> Assignment:
        return role_census.assign(self.prepared, self._windows(), self.roles, self.options)

    @functools.cached_property
    def _counts(self) -> RoleCounts:
        metadata = self.prepared.metadata
        return role_census.count(
            self.prepared.records, self._assignment, self.prepared.items.size, metadata["repeats"]
        )

    @functools.cached_property
    def _spaces(self) -> dict[str, ItemSpace]:
        roles = self.roles
        sources = roles.numbers(roles.sources)
        chosen = {"source": sources} if sources else {}
        if roles.predicted:
            target = roles.numbers(roles.predicted)
            chosen |= {"target": target, "joint": (*target, *sources)}
        items, trained = self.prepared.items, self._counts.trained
        return {name: ItemSpace(items, domains, trained) for name, domains in chosen.items()}

    def _view(self, name: str) -> View:
        if name not in VIEWS:
            raise DataError(
                f"{self.prepared.data_dir}: a data set of interactions has no view {name}, only "
                f"{', '.join(VIEWS)}."
            )
        view = VIEWS[name]
        view.check(self.roles, self.prepared.metadata["comparable_times"], self.options)
        return view

    def _cutter(self, view: View, read: HistoryRead) -> Cutter:
        """Returns what finds the examples of a split; traced once for counting and reading."""
        key = view.name, read.split, read.needed
        if key not in self._cutters:
            self._cutters[key] = self._cut(view, read)
        return self._cutters[key]

    def _cut(self, view: View, read: HistoryRead, left_out: bool = False) -> Cutter:
        assignment = self._assignment

        def cut(records: UserRecords) -> Cut:
            return only(view.cut(cast(records, assignment), read), read.needed, left_out)

        return traced(cut)

    def _read(self, view: View, split: str, chosen: Any) -> HistoryRead:
        """Describes a split that is read with some options, but for what a reading decides."""
        part = PARTS.index(split)
        read = HistoryRead(
            split=split,
            shuffled=False,
            batch_size=1,
            rows=(0, 1),
            seed=0,
            examples=0,
            part=part,
            options=self.options,
            spaces=self._spaces,
            has_ratings=self.prepared.metadata["ratings"],
            excludes_seen=self.prepared.metadata["repeats"] == "first",
            most_seen=int(self._counts.most_seen[part]),
            fewest_seen=int(self._counts.fewest_seen[part]),
            seen_by_domain=self._counts.seen_by_domain[part],
            longest=self._counts.longest,
            given_negatives=tuple(self._counts.given_negatives[part].tolist()),
            needed=ItemsNeeded(),
        )
        return dataclasses.replace(read, needed=view.needed(read, chosen))
