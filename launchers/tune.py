"""Searches for the settings of a system that validate best on one data set.

    python launchers/tune.py --flagfile=launchers/flagfiles/timirec_toys_games.cfg \
        --search=launchers/searches/timirec.toml --workdir=runs/search --minutes=30

Takes train.py's flags, from which every trial starts, and a file of the fields that the search may
change (see `launchers/tuning/search_space.py`). A tree-structured Parzen estimator proposes
settings, trials that fall behind at an epoch are stopped, and only validation figures decide; the
test is never read. The search lies in WORKDIR/study.db: the same command goes on where it stopped,
a killed trial resumes, and several processes may search at once.
"""

import math
import time
from collections.abc import Sequence
from typing import Any

from absl import flags

from data_pipelines.prepared.dataset import PreparedData
from launchers import data_flags, presentation_flags, program, reading_flags, run_flags
from launchers.target_runs import Wish
from launchers.tuning import outcome, search_space, studies
from launchers.tuning.trials import Trials
from tfcdr.errors import RunError
from tfcdr.runs.experiment import enable_determinism

_SEARCH = flags.DEFINE_string(
    "search", None, "TOML file that names the fields to vary and their values."
)
_TRIALS = flags.DEFINE_integer(
    "trials", 30, "Trials of the whole search, those of earlier processes counted.", lower_bound=1
)
_MINUTES = flags.DEFINE_float(
    "minutes", 0, "Minutes after which this process ends; 0 for no such end.", lower_bound=0
)
flags.adopt_module_key_flags(run_flags)
flags.adopt_module_key_flags(presentation_flags)

# Flags that say how to search, not what a trial is.
_OWN_FLAGS = ("search", "trials", "minutes", "workdir", "flagfile", "data_dir")


def main(argv: Sequence[str]) -> None:
    """Searches, and writes what was found."""
    del argv
    started = time.monotonic()
    wish = run_flags.wish()
    presentation_flags.refuse_unused()
    if not _SEARCH.value:
        raise program.FlagError("--search is missing: name the file of the fields to vary.")
    groups: dict[str, Any] = {wish.system.name: wish.config}
    if wish.system.log == "interactions":
        groups[reading_flags.EXAMPLES] = reading_flags.examples()
    space = search_space.read(_SEARCH.value, groups)
    if wish.deterministic:
        enable_determinism()
    data = data_flags.open_or_build(wish.data_dir, wish.system.log)
    _check_one_target(wish, data)
    study = studies.open_or_create(wish, space, data, _shared_flags())
    study.enqueue_trial(space.known(groups), skip_if_exists=True)
    deadline = started + 60 * _MINUTES.value if _MINUTES.value else math.inf
    with data.naming_corrupt_shards():
        studies.search(study, Trials(wish, groups, space, data, deadline), _TRIALS.value)
    _present(wish, study)


def _check_one_target(wish: Wish, data: PreparedData) -> None:
    """Raises FlagError if the run has several targets with a model each."""
    targets = reading_flags.sources(data, wish.system, wish.config)
    if len(targets) > 1:
        raise program.FlagError(
            f"--target={','.join(targets)}: a search has one target, since each may have its own "
            "best settings; search for one after the other."
        )


def _shared_flags() -> list[str]:
    """Returns the flags of the command line that all trials share, as lines of a flagfile."""
    given = [flags.FLAGS[name] for name in flags.FLAGS if flags.FLAGS[name].present]
    lines = {
        line
        for flag in given
        if flag.name not in _OWN_FLAGS
        for line in flag.serialize().splitlines()
        if line
    }
    return sorted(lines)


def _present(wish: Wish, study: studies.Study) -> None:
    monitor = wish.options.monitor
    table = outcome.table(study)
    print(f"\n{len(table)} trials, by validation {monitor}")
    print(table.head(10).to_string(index=False, float_format=lambda value: f"{value:.4g}"))
    mattered = outcome.importances(study)
    if mattered:
        print("\nwhat mattered, as a share of the variance between trials")
        for name, share in mattered.items():
            print(f"  {name}: {share:.0%}")
    written = outcome.write(study, monitor, _shared_flags(), wish.workdir)
    print(f"\nwrote {', '.join(map(str, written))}")
    if not outcome.finished(study):
        raise RunError(f"{wish.workdir}: no trial came to its end; see trials.csv.")
    print(
        f"train with the best: python launchers/train.py --flagfile={written[-1]} "
        f"--data_dir={wish.data_dir} --workdir=..."
    )


def run() -> None:
    """Console entry point."""
    program.run(main)


if __name__ == "__main__":
    run()
