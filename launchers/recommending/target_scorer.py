"""A finished run recommends items of one of its targets."""

import functools
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from data_pipelines.prepared.interaction_source import InteractionSource
from launchers.finished_run import FinishedRun
from tfcdr.errors import RunError
from tfcdr.ranking.batch_scoring import BatchRecommender, Histories
from tfcdr.ranking.history_names import names_in, run_space
from tfcdr.ranking.signatures import RECOMMEND
from tfcdr.ranking.system import RankingSystem
from tfcdr.system import Serving
from tfcdr.systems.registry import SYSTEMS

SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("domain", pa.string()),
        ("rank", pa.int32()),
        ("item_id", pa.string()),
        ("score", pa.float32()),
        ("known", pa.int32()),
        ("given", pa.int32()),
    ]
)


def check_recommends(system: str) -> None:
    """Raises RunError if a system predicts labels and recommends nothing."""
    if system in SYSTEMS and RECOMMEND not in SYSTEMS[system].signatures:
        others = sorted(name for name in SYSTEMS if RECOMMEND in SYSTEMS[name].signatures)
        raise RunError(
            f"{system} predicts labels of items that it is asked about and recommends none; "
            f"{', '.join(others)} do. Its export answers with probabilities: launchers/export.py."
        )


class Users(NamedTuple):
    """Some users.

    Attributes:
      names: raw ids.
      histories: theirs.
      given: int [users], how many ids each history holds, known or not.
    """

    names: Sequence[str]
    histories: Histories
    given: np.ndarray


class TargetScorer:
    """Recommends items of one target.

    Attributes:
      source: what the run reads.
      domain: the target's name; "" if the ranked items are of several domains.
    """

    def __init__(
        self, source: InteractionSource, catalogue: str, recommender: BatchRecommender
    ) -> None:
        """Takes what ranks the items of one of a run's targets.

        Args:
          source: what the run reads.
          catalogue: the item space that its last stage ranks.
          recommender: of the target.
        """
        self.source = source
        self.domain = recommender.target.domain
        self._catalogue = catalogue
        self._recommender = recommender
        self._items = np.array(["", *recommender.target.items], dtype=object)

    def of_data_set(self, users: np.ndarray, splits: np.ndarray, items: np.ndarray) -> Users:
        """Takes users as `source.whole_histories` gives them."""
        return Users(
            self.source.user_names(users.tolist()), Histories(splits, items), np.diff(splits)
        )

    def of_raw(self, names: Sequence[str], rows: Sequence[Sequence[str]]) -> Users:
        """Looks the raw histories of users up, as `history_names.py` has it."""
        ids = self._ids
        given = np.array([len(row) for row in rows], np.int64)
        items = np.array([ids.get(name, 0) for row in rows for name in row], int)
        return Users(names, Histories(np.append(0, np.cumsum(given)), items), given)

    def table(self, users: Users) -> tuple[pa.Table, dict[str, int]]:
        """Recommends to users.

        Returns:
          A row for each recommended item: user, the target's domain, rank from 1, item, score, how
          many ids of the history are known, and how many there are; and the number of users, of
          rows, and of those of whom nothing is known.
        """
        found = self._recommender(users.histories)
        user, place = np.nonzero(found.ids > 0)
        columns = [
            np.array(users.names, dtype=object)[user],
            np.full(len(user), self.domain, dtype=object),
            place + 1,
            self._items[found.ids[user, place]],
            found.scores[user, place],
            found.known[user],
            users.given[user],
        ]
        arrays = [pa.array(of, field.type) for of, field in zip(columns, SCHEMA, strict=True)]
        unknown = int((found.known == 0).sum())
        counts = {"users": len(users.names), "rows": len(user), "unknown": unknown}
        return pa.Table.from_arrays(arrays, schema=SCHEMA), counts

    @functools.cached_property
    def _ids(self) -> Mapping[str, int]:
        whole = run_space(self.source, self._catalogue)
        names, ids = names_in(whole, range(1, whole.size + 1))
        return dict(zip(names, ids.tolist(), strict=True))


def scorers_of(
    runs: Mapping[str, FinishedRun],
    wanted: Collection[str] = (),
    serving: Serving = Serving(),  # noqa: B008 (immutable)
    leaves_out_seen: bool | None = None,
) -> list[TargetScorer]:
    """Returns what recommends, a scorer for each target.

    Args:
      runs: as `finished_run.load` gives them.
      wanted: names of targets; empty for all.
      serving: how many items and how they are found.
      leaves_out_seen: whether items of a history are not recommended; None leaves them out where
        users' repeated interactions count once, as evaluation does.

    Raises:
      RunError: the system recommends nothing, there is no such target, or the retrieval cannot be
        had.
    """
    scorers, domains = [], []
    for run in runs.values():
        check_recommends(run.system.name)
        system, source = run.system, run.source
        if not (isinstance(system, RankingSystem) and isinstance(source, InteractionSource)):
            raise RunError(f"{system.name} is no system that ranks items for histories.")
        once = source.prepared.metadata["repeats"] == "first"
        seen = once if leaves_out_seen is None else leaves_out_seen
        catalogue = system.stages(run.config)[-1].catalogue
        for target in system.served(run.config, run.model, source):
            domains.append(target.domain)
            if not wanted or target.domain in wanted:
                recommender = BatchRecommender(target, serving, seen)
                scorers.append(TargetScorer(source, catalogue, recommender))
    if missing := [name for name in wanted if name not in domains]:
        raise RunError(
            f"{missing[0]} is no target of the run, whose targets are {', '.join(domains)}."
        )
    return scorers
