"""What is asked of finished runs that are to rank: their system, what they read, their options."""

from data_pipelines.prepared.interaction_source import InteractionSource
from launchers.finished_run import FinishedRun
from launchers.stored_config import restored
from tfcdr.errors import RunError
from tfcdr.ranking.held_out_ranks import EvaluationOptions
from tfcdr.ranking.system import RankingSystem


def system_of(run: FinishedRun, wish: str) -> RankingSystem:
    """Returns the system of a run.

    Args:
      run: opened.
      wish: what only systems that rank are, such as "compared".

    Raises:
      RunError: it ranks nothing.
    """
    if not isinstance(run.system, RankingSystem):
        raise RunError(
            f"{run.folder.path}: {run.system.name} ranks no items; only systems that do are {wish}."
        )
    return run.system


def check_finished(run: FinishedRun) -> None:
    """Raises RunError if a run has no metrics yet."""
    if run.folder.metrics() is None:
        raise RunError(f"{run.folder.path}: the run is not finished; run its command again.")


def interactions_of(run: FinishedRun) -> InteractionSource:
    """Returns what a ranking system has read.

    Raises:
      RunError: the run read impressions.
    """
    if not isinstance(run.source, InteractionSource):
        raise RunError(f"{run.folder.path}: the run read impressions.")
    return run.source


def options_of(run: FinishedRun) -> EvaluationOptions:
    """Returns how a run of a ranking system is evaluated."""
    return restored(EvaluationOptions, run.folder.config()["evaluation"])
