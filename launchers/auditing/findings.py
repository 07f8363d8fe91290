"""The audit of a finished run: its trainings, each beside that on the target alone."""

import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from data_pipelines.prepared import history_audit
from data_pipelines.prepared.history_audit import HistoryTimes, ReadLater
from launchers import finished_run, ranking_runs
from launchers.finished_run import FinishedRun
from tfcdr.bar_gain import BarGain
from tfcdr.distribution.one_device import ONE_DEVICE
from tfcdr.errors import RunError
from tfcdr.ranking import transfer_audit
from tfcdr.ranking.comparison import Standing
from tfcdr.ranking.held_out_ranks import Ranks
from tfcdr.ranking.stage import RankingStage
from tfcdr.ranking.system import RankingSystem
from tfcdr.ranking.transfer_audit import Audit
from tfcdr.row_groups import ALL, COLD_AND_WARM
from tfcdr.runs.run_folder import RunFolder
from tfcdr.transfer_gain import TransferGain

_WITHOUT, _WITH = "target alone", "with transfer"
_SEED = 0  # of the bootstrap: the same command gives the same intervals
_ROWS_AT_ONCE = 512
# Entries of evaluation batches that hold what a model reads of the user, whatever the view.
_HISTORIES = ("history", "context", "items")
_RECENT = "recent_items"  # the same, for item neighbours: ids of space joint


class Finding(NamedTuple):
    """What the audit of one target found.

    Attributes:
      audit: the gains.
      read_later: of the models with transfer and without, what comes after the answer.
      bars: by name, the figure of what is above both models by its interval.
    """

    audit: Audit
    read_later: ReadLater
    bars: Mapping[str, float]

    def advice(self) -> list[str]:
        """Says what to do, the most important first."""
        said = transfer_audit.advice(self.audit, self.bars)
        if self.read_later.late:
            return ["Do NOT trust these figures: models read what came later.", *said]
        return said

    def about_times(self) -> str:
        """Says whether what is read comes before what is asked for."""
        rows, late, unknown = self.read_later
        if late:
            return (
                f"{late:,} of {rows:,} test rows hold items that the user took after the answer: "
                "see --examples.source_history."
            )
        text = f"Nothing that is read of {rows - unknown:,} test rows comes after the answer."
        if unknown:
            text += (
                f" Of {unknown:,} others nobody knows: the times of their other domains cannot be "
                "compared with the answer's."
            )
        return text

    def about_intervals(self) -> str:
        """Says what the intervals of the table are."""
        trainings = "one training" if self.audit.trainings == 1 else "trainings"
        return (
            f"Intervals are over users and {trainings}, of 95 % in all and of "
            f"{100 * self.audit.level:.4g} % for groups, since there are {len(self.audit.groups)}."
        )

    def table(self) -> pd.DataFrame:
        """Returns a row for each group; intervals of all and of groups are of other levels."""
        rows = []
        for name, gain in self._by_group().items():
            known = name not in self.audit.small
            rows.append(
                {
                    "group": name,
                    "n": gain.rows,
                    _WITHOUT: gain.no_transfer,
                    _WITH: gain.transfer,
                    "gain": gain.gain,
                    "low": gain.low if known else math.nan,
                    "high": gain.high if known else math.nan,
                    "verdict": gain.word() if known else ("too few users" if gain.rows else ""),
                }
            )
        return pd.DataFrame(rows)

    def standings(self) -> list[Standing]:
        """Returns what is drawn: each group with transfer beside the target alone."""
        found = []
        for name, gain in self._by_group().items():
            if name in self.audit.small:
                continue
            of_all = (name, gain.rows, self.audit.trainings)
            level = 0.95 if name == ALL else self.audit.level
            found.append(
                Standing(_WITHOUT, *of_all, gain.no_transfer, math.nan, 0.0, 0.0, 0.0, level)
            )
            figures = (gain.transfer, math.nan, gain.gain, gain.low, gain.high, level)
            found.append(Standing(_WITH, *of_all, *figures))
        return found

    def _by_group(self) -> dict[str, TransferGain]:
        return {ALL: self.audit.whole, **self.audit.groups, **self.audit.small}


def of_run(workdir: pathlib.Path, data_dir: str | None) -> dict[str, Finding]:
    """Audits a run.

    Args:
      workdir: its folder; of one seed or of several.
      data_dir: the prepared data set, if it has moved since training.

    Returns:
      What was found of each target.

    Raises:
      RunError: there is no finished run, it has none without transfer, or it ranks nothing.
      DataError: the data set is missing or damaged.
    """
    return of_trainings(finished_run.trainings(workdir), data_dir)


def of_trainings(folders: Sequence[pathlib.Path], data_dir: str | None) -> dict[str, Finding]:
    """Audits runs that differ in the seed alone.

    Args:
      folders: of the runs, one of each seed.
      data_dir: as for `of_run`.

    Returns:
      As `of_run`.

    Raises:
      RunError: as for `of_run`.
      DataError: as for `of_run`.
    """
    audited: dict[str, _Audited] = {}
    for folder in folders:  # one after the other: what is kept of each are its ranks
        for target, run in finished_run.load(folder, data_dir).items():
            _system(run)
            ranking_runs.check_finished(run)
            alone = _alone(run, data_dir)
            name = target or ",".join(ranking_runs.interactions_of(run).roles.targets)
            if name not in audited:
                audited[name] = _Audited(run, alone)
            audited[name].add(run, alone)
    return {name: of_target.finding() for name, of_target in audited.items()}


class _Audited:
    """The trainings of one target, and what is the same for all of them."""

    def __init__(self, run: FinishedRun, alone: FinishedRun) -> None:
        """Looks at the data; `run` and `alone` are the first pair."""
        source, system = ranking_runs.interactions_of(run), _system(run)
        self._path = run.folder.path
        self._options = ranking_runs.options_of(run)
        self._sizes = history_audit.history_sizes(source)
        of_domains = [group for group in system.row_groups(source) if group is not COLD_AND_WARM]
        self._groups = [*of_domains, *transfer_audit.history_groups()]
        times = HistoryTimes(source)
        checked = [times.check(_what_is_read(each)) for each in (run, alone)]
        self._read_later = ReadLater(*np.max(checked, axis=0).tolist())
        self._ranks: list[tuple[Ranks, Ranks]] = []
        self._metrics: list[dict[str, Any]] = []

    def add(self, run: FinishedRun, alone: FinishedRun) -> None:
        """Ranks the test by both models of a training."""
        system, source = _system(run), ranking_runs.interactions_of(run)
        evaluator = system.evaluator(source, self._options, ONE_DEVICE)
        scores = [evaluator.own_scores(_stage(each), each.model, "test") for each in (run, alone)]
        answers = 1 + source.vocabulary(_stage(run).catalogue).indices
        ours, others = (
            transfer_audit.with_history_sizes(
                ranks, *self._sizes.own_and_others(ranks.user, answers[ranks.item - 1])
            )
            for ranks in evaluator.completed(*scores)
        )
        self._ranks.append((ours, others))
        self._metrics.append(run.folder.finished_metrics())

    def finding(self) -> Finding:
        """Compares."""
        try:
            audit = transfer_audit.audit(self._ranks, self._groups, self._options.monitor, _SEED)
        except ValueError as error:
            raise RunError(f"{self._path}: {error}") from error
        return Finding(audit, self._read_later, self._better_bars())

    def _better_bars(self) -> dict[str, float]:
        """Returns what is above the models with transfer and without by its interval."""
        joined = {}
        for of in ("bars", "baseline_bars"):
            for name in self._metrics[0].get(of, {}):
                gain = BarGain.over_trainings(
                    [BarGain.from_json(metrics[of][name][ALL]) for metrics in self._metrics]
                )
                joined[of, name] = gain
        names = {name for _, name in joined}
        return {
            name: joined["bars", name].of_bar
            for name in names
            if all(
                (of, name) in joined and joined[of, name].high < 0
                for of in ("bars", "baseline_bars")
            )
        }


def _alone(run: FinishedRun, data_dir: str | None) -> FinishedRun:
    folder = run.folder.path / "no_transfer"
    if not folder.is_dir() or RunFolder(folder).metrics() is None:
        raise RunError(
            f"{run.folder.path}: nothing was trained without transfer; run its command again with "
            "--compare_no_transfer."
        )
    (alone,) = finished_run.load(folder, data_dir).values()
    return alone


def _what_is_read(run: FinishedRun) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Gives users, answers and histories of the test rows, as ids of the data set."""
    source, stage = ranking_runs.interactions_of(run), _stage(run)
    catalogue = source.vocabulary(stage.catalogue)
    space = source.vocabulary(_system(run).history_space(run.config))
    answers = np.concatenate([[0], catalogue.indices + 1])
    # What follows the items in a history is no item: CLS and MASK.
    items = np.concatenate([[0], space.indices + 1, np.zeros(2, np.int64)])
    joint = source.vocabulary("joint").indices + 1
    ids = {**dict.fromkeys(_HISTORIES, items), _RECENT: np.concatenate([[0], joint])}
    for batch in stage.evaluation.batches(source, "test", _ROWS_AT_ONCE, _SEED):
        there = batch["example_weight"].numpy() > 0
        read = [of[batch[name].numpy()[there]] for name, of in ids.items() if name in batch]
        if not read:
            raise RunError(
                f"{run.folder.path}: {run.system.name} reads no history by one of the names "
                f"{', '.join(ids)}, so that nothing can be said of its times."
            )
        history = np.concatenate([of.reshape(len(of), -1) for of in read], 1)
        user, answer = (batch[name].numpy()[there] for name in ("user", "target_item"))
        yield user.astype(np.int64), answers[answer], history


def _stage(run: FinishedRun) -> RankingStage:
    return _system(run).stages(run.config)[-1]


def _system(run: FinishedRun) -> RankingSystem:
    return ranking_runs.system_of(run, "audited")
