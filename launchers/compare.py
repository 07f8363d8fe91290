"""Puts finished runs on one data set side by side, and says which recommender to serve.

    python launchers/compare.py --runs='runs/timirec_*,runs/neighbours' --output=runs/comparison

Runs that differ in the seed alone are one recommender, with mean and spread over its seeds. The
test figures of each are compared with those of the first by a bootstrap over users and seeds,
corrected for how many are compared; which one to serve is chosen on validation. Writes a table
(comparison.csv) and a page (index.html) to --output.
"""

import pathlib
from collections.abc import Sequence

import numpy as np
from absl import flags

from launchers import program
from launchers.comparing import contenders, page
from launchers.comparing.contenders import Runs
from launchers.comparing.page import Part
from tfcdr.errors import RunError
from tfcdr.ranking import comparison

_RUNS = flags.DEFINE_list(
    "runs",
    [],
    "Folders of finished runs, or patterns of them, comma-separated; the first is what "
    "the others are compared with.",
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder for the table and the page.")
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "The prepared data set, if it has moved since training."
)
_BARS = flags.DEFINE_bool(
    "bars",
    True,
    "Puts most popular and item neighbours beside the runs, as what could be served, too. --nobars "
    "leaves them out, and corrects the intervals for the runs alone.",
)
_SEED = 0  # of the bootstrap: the same command gives the same intervals


def main(argv: Sequence[str]) -> None:
    """Compares, prints a table for each target, and writes the page."""
    del argv
    if not _RUNS.value:
        raise program.FlagError("--runs is missing: name the folders of finished runs.")
    if not _OUTPUT.value:
        raise program.FlagError("--output is missing: name a folder for the table and the page.")
    output = pathlib.Path(_OUTPUT.value)
    parts = []
    for runs in contenders.read(_RUNS.value, _DATA_DIR.value, _BARS.value):
        each = [candidate.contender for candidate in runs.candidates]
        if len(each) == 1:
            raise RunError(
                f"{runs.target}: --nobars leaves nothing beside {each[0].name}; runs that differ "
                "in the seed alone are one recommender."
            )
        try:
            standings = comparison.compare(each, runs.groups, runs.options.monitor, _SEED)
        except ValueError as error:
            raise RunError(
                f"{runs.target}: {error} The runs hold out other interactions (--target, "
                "--examples.cold_share); only the same ones can be compared."
            ) from error
        verdict = _verdict(runs)
        table = page.table(runs, standings)
        print(f"\n{runs.target}\n{table.to_string(index=False, float_format='{:.4f}'.format)}")
        alone = comparison.left_out(each)
        if alone:
            print(f"{alone:,} interactions that not all can rank are left out.")
        if all(len(of.ranks) == 1 for of in each):
            print("One seed each: the intervals say nothing about another training.")
        print(verdict)
        parts.append(Part(runs.target, runs.options.monitor, standings, table, table, verdict))
    page.write(output, "comparison", parts)


def _verdict(runs: Runs) -> str:
    """Says which recommender to serve: the cheapest of those that may be the best."""
    metric = runs.options.monitor
    ordered = sorted(
        runs.candidates, key=lambda each: np.nan_to_num(each.validation, nan=-1.0), reverse=True
    )
    best = ordered[0]
    standings = comparison.compare([of.contender for of in ordered], (), metric, _SEED)
    rivals = [
        (candidate, standing)
        for candidate, standing in zip(ordered[1:], standings[1:], strict=True)
        if standing.high >= 0  # not worse beyond chance
    ]
    name = best.contender.name
    reached = (
        f"{name} validates best ({metric} {best.validation:.4f}; test {standings[0].mean:.4f})"
    )
    if not rivals:
        runner_up = max(standings[1:], key=lambda each: each.mean, default=None)
        behind = (
            f" and is ahead of all others on the test, of {runner_up.name} by "
            f"{-runner_up.gain:.4f} ({-runner_up.high:.4f} to {-runner_up.low:.4f})"
            if runner_up
            else ""
        )
        return f"Serve {name}: it{reached.removeprefix(name)}{behind}."
    other, standing = min(rivals, key=lambda pair: pair[0].seconds)
    apart = (
        f"the test cannot tell it from {other.contender.name} ({standing.mean:.4f}, difference "
        f"{standing.gain:+.4f}, interval {standing.low:+.4f} to {standing.high:+.4f})"
    )
    if other.seconds < best.seconds:
        return (
            f"Serve {other.contender.name}, which trains in {other.seconds:.0f} s where {name} "
            f"takes {best.seconds:.0f} s: {reached}, but {apart}."
        )
    return f"Serve {name}: {reached}, though {apart}."


def run() -> None:
    """Console entry point."""
    program.run(main)


if __name__ == "__main__":
    run()
