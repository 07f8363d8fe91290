"""The audit of a finished run: its trainings, each beside that on the target alone."""

import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from data_pipelines.prepared import history_audit
from data_pipelines.prepared.history_audit import HistorySizes, HistoryTimes, ReadLater
from data_pipelines.prepared.interaction_source import InteractionSource
from launchers import finished_run
from launchers.finished_run import FinishedRun
from launchers.run_folders import seed_folder
from launchers.stored_config import restored
from tfcdr.distribution.one_device import ONE_DEVICE
from tfcdr.errors import RunError
from tfcdr.ranking import transfer_audit
from tfcdr.ranking.comparison import Standing
from tfcdr.ranking.held_out_ranks import EvaluationOptions, Ranks
from tfcdr.ranking.stage import RankingStage
from tfcdr.ranking.system import RankingSystem
from tfcdr.ranking.transfer_audit import Audit
from tfcdr.row_groups import ALL, COLD_AND_WARM
from tfcdr.runs.run_folder import RunFolder

_WITHOUT, _WITH = "target alone", "with transfer"
_SEED = 0  # of the bootstrap: the same command gives the same intervals
_ROWS_AT_ONCE = 512
# Entries of evaluation batches that hold what a model reads of the user, whatever the view.
_HISTORIES = ("history", "context", "items")


class Finding(NamedTuple):
    """What the audit of one target found.

    Attributes:
      audit: the gains.
      read_later: of the models with transfer and without, what comes after the answer.
      bars: by name, the figure of what is above the model with transfer by its interval.
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
            text = (
                f"{late:,} of {rows:,} test rows hold items that the user took after the answer: "
                "see --examples.source_history."
            )
        else:
            text = f"Nothing that is read of {rows:,} test rows comes after the answer."
        if unknown:
            text += (
                f" Of {unknown:,} rows the other domains' times cannot be compared with the "
                "answer's, so that nobody knows."
            )
        return text

    def table(self) -> pd.DataFrame:
        """Returns a row for each group, for people; intervals of groups are the widened ones."""
        groups = self.audit.groups()
        rows = []
        for name, plain in self.audit.gains.items():
            gain = groups.get(name, plain)
            known = math.isfinite(gain.gain)
            rows.append(
                {
                    "group": name,
                    "n": gain.rows,
                    _WITHOUT: gain.no_transfer,
                    _WITH: gain.transfer,
                    "gain": f"{gain.gain:+.4f}" if known else "-",
                    "interval": f"{gain.low:+.4f} to {gain.high:+.4f}" if known else "-",
                    "": gain.word() if known else "",
                }
            )
        return pd.DataFrame(rows)

    def standings(self) -> list[Standing]:
        """Returns what is drawn: each group with transfer beside the target alone."""
        found = []
        for name, gain in {ALL: self.audit.whole, **self.audit.groups()}.items():
            of_all = (name, gain.rows, self.audit.trainings)
            found.append(
                Standing(_WITHOUT, *of_all, gain.no_transfer, math.nan, 0.0, 0.0, 0.0, 0.95)
            )
            figures = (gain.transfer, math.nan, gain.gain, gain.low, gain.high, 0.95)
            found.append(Standing(_WITH, *of_all, *figures))
        return found


class _Pair(NamedTuple):
    """One training with transfer and one without, of the same target and seed."""

    ours: FinishedRun
    alone: FinishedRun


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
    return of_trainings(_trainings(workdir), data_dir)


def of_trainings(folders: Sequence[pathlib.Path], data_dir: str | None) -> dict[str, Finding]:
    """Audits runs that differ in the seed alone; see `of_run`."""
    by_target: dict[str, list[_Pair]] = {}
    for folder in folders:
        for target, run in finished_run.load(folder, data_dir).items():
            _system(run)
            if run.folder.metrics() is None:
                raise RunError(
                    f"{run.folder.path}: the run is not finished; run its command again."
                )
            name = target or ",".join(_source(run).roles.targets)
            by_target.setdefault(name, []).append(_Pair(run, _alone(run, data_dir)))
    return {target: _finding(pairs) for target, pairs in by_target.items()}


def _trainings(workdir: pathlib.Path) -> list[pathlib.Path]:
    config = RunFolder(workdir).config()
    if not config.get("several_seeds"):
        return [workdir]
    metrics = RunFolder(workdir).finished_metrics()
    first = metrics if "seeds" in metrics else next(iter(metrics["targets"].values()))
    return [seed_folder(workdir, seed) for seed in first["seeds"]]


def _alone(run: FinishedRun, data_dir: str | None) -> FinishedRun:
    folder = run.folder.path / "no_transfer"
    if not folder.is_dir() or RunFolder(folder).metrics() is None:
        raise RunError(
            f"{run.folder.path}: nothing was trained without transfer; run its command again with "
            "--compare_no_transfer."
        )
    (alone,) = finished_run.load(folder, data_dir).values()
    return alone


def _source(run: FinishedRun) -> InteractionSource:
    if not isinstance(run.source, InteractionSource):
        raise RunError(f"{run.folder.path}: the run read impressions.")
    return run.source


def _system(run: FinishedRun) -> RankingSystem:
    if not isinstance(run.system, RankingSystem):
        raise RunError(
            f"{run.folder.path}: {run.system.name} ranks no items; only systems that do are "
            "audited."
        )
    return run.system


def _finding(pairs: Sequence[_Pair]) -> Finding:
    first = pairs[0].ours
    source, options = _source(first), _options(first)
    sizes = history_audit.history_sizes(source)
    trainings = [_ranks(pair, sizes) for pair in pairs]
    of_domains = [
        group for group in _system(first).row_groups(source) if group is not COLD_AND_WARM
    ]
    groups = [*of_domains, *transfer_audit.history_groups()]
    try:
        audit = transfer_audit.audit(trainings, groups, options.monitor, _SEED)
    except ValueError as error:
        raise RunError(f"{first.folder.path}: {error}") from error
    times = HistoryTimes(source)
    checked = [times.check(_what_is_read(run)) for run in pairs[0]]
    read_later = ReadLater(
        checked[0].rows, max(of.late for of in checked), max(of.unknown for of in checked)
    )
    bars = first.folder.finished_metrics().get("bars", {})
    above = {
        name: of_groups[ALL]["of_bar"]
        for name, of_groups in bars.items()
        if of_groups[ALL]["rows"] and of_groups[ALL]["high"] < 0
    }
    return Finding(audit, read_later, above)


def _ranks(pair: _Pair, sizes: HistorySizes) -> tuple[Ranks, Ranks]:
    """Ranks the test by both models of a pair."""
    system, source, options = _system(pair.ours), _source(pair.ours), _options(pair.ours)
    evaluator = system.evaluator(source, options, ONE_DEVICE)
    scores = [
        evaluator.own_scores(_stage(run), run.model, "test") for run in (pair.ours, pair.alone)
    ]
    catalogue = source.vocabulary(_stage(pair.ours).catalogue)
    domain_of = np.searchsorted(source.prepared.items.starts[1:], catalogue.indices, side="right")
    ours, others = (
        transfer_audit.with_history_sizes(
            ranks,
            sizes.own(ranks.user, domain_of[ranks.item - 1]),
            sizes.others(ranks.user, domain_of[ranks.item - 1]),
        )
        for ranks in evaluator.completed(*scores)
    )
    return ours, others


def _what_is_read(run: FinishedRun) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Gives users, answers and histories of the test rows, as ids of the data set."""
    source, stage = _source(run), _stage(run)
    catalogue = source.vocabulary(stage.catalogue)
    space = source.vocabulary(_system(run).history_space(run.config))
    answers = np.concatenate([[0], catalogue.indices + 1])
    # What follows the items in a history is no item: CLS and MASK.
    items = np.concatenate([[0], space.indices + 1, np.zeros(2, np.int64)])
    for batch in stage.evaluation.batches(source, "test", _ROWS_AT_ONCE, _SEED):
        there = batch["example_weight"].numpy() > 0
        read = [batch[name].numpy()[there] for name in _HISTORIES if name in batch]
        history = np.concatenate([ids.reshape(len(ids), -1) for ids in read], 1)
        user, answer = (batch[name].numpy()[there] for name in ("user", "target_item"))
        yield user.astype(np.int64), answers[answer], items[history]


def _stage(run: FinishedRun) -> RankingStage:
    return _system(run).stages(run.config)[-1]


def _options(run: FinishedRun) -> EvaluationOptions:
    settings: Any = run.folder.config()["evaluation"]
    return restored(EvaluationOptions, settings)
