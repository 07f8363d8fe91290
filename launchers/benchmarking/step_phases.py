"""What a step's phases say together: how often they repeat, and where its time goes."""

import math
from collections.abc import Mapping, Sequence

from tfcdr.benchmark import Phase
from tfcdr.stage import Stage


def with_periodic_steps(phases: Sequence[Phase], stage: Stage) -> tuple[Phase, ...]:
    """Returns the phases of a train step and, as one more each, what comes every so many steps."""
    periodic = [
        Phase(step.name, "periodic_step", step.name, every=step.every)
        for step in stage.periodic_steps
    ]
    return (*phases, *periodic)


def cycle(phases: Sequence[Phase]) -> int:
    """Returns the number of steps after which their work starts over."""
    return math.lcm(*(phase.every for phase in phases))


def whole(phases: Sequence[Phase]) -> list[Phase]:
    """Returns the phases that no other one includes: a step does them one after the other."""
    included = {phase.includes for phase in phases}
    return [phase for phase in phases if phase.name not in included]


def per_step(phases: Sequence[Phase], amounts: Mapping[str, float]) -> float:
    """Returns the mean over steps of what all phases take together, by amounts of each."""
    return sum(amounts[phase.name] / phase.every for phase in whole(phases))


def times(phases: Sequence[Phase], measured: Mapping[str, float]) -> dict[str, float]:
    """Returns what a step spends its time on, by words for a person.

    Args:
      phases: of the step.
      measured: time of the "step" and of each phase, by name.
    """
    spent = {}
    for phase in phases:
        label = phase.label if phase.every == 1 else f"{phase.label}, 1/{phase.every} of"
        spent[label] = measured[phase.name] - (measured[phase.includes] if phase.includes else 0)
    rest = "update" if len(whole(phases)) == 1 else "updates"
    return {**spent, rest: measured["step"] - per_step(phases, measured)}
