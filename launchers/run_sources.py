"""What a run reads of a data set for each of its targets."""

from collections.abc import Sequence

from data_pipelines.prepared.dataset import PreparedData
from data_pipelines.prepared.impression_source import ImpressionSource
from data_pipelines.prepared.interaction_source import InteractionSource
from data_pipelines.prepared.reading import Source
from data_pipelines.views.example_options import ExampleOptions
from data_pipelines.views.roles import roles_of
from tfcdr.errors import RunError
from tfcdr.system import System
from tfcdr.systems.registry import SYSTEMS


def sources(
    prepared: PreparedData,
    system: System,
    config: object,
    targets: Sequence[str],
    named_sources: Sequence[str],
    options: ExampleOptions,
) -> dict[str, Source]:
    """Returns what a run reads for each of its targets, by their names; "" stands for none.

    Args:
      prepared: the data set.
      system: what is trained.
      config: its configuration.
      targets: domains that are predicted, or "all" alone; empty for pre-training alone.
      named_sources: domains that are read besides; empty for all others.
      options: how examples are cut.

    Raises:
      DataError: a domain is unknown, or has two roles.
      RunError: the system needs a source, but there is none.
    """
    if prepared.log == "impressions":
        return {prepared.metadata["target"]: ImpressionSource(prepared)}
    shared = system.stages(config)[0].shared
    roles = roles_of(prepared.domains, targets, named_sources, shared, system.joint_targets)
    if shared and roles[0].target and not roles[0].sources:
        others = [name for name in SYSTEMS if name != system.name and _trains_each(SYSTEMS[name])]
        raise RunError(
            f"--target={','.join(targets)}: {system.name} pre-trains on the domains that are "
            f"no targets, and none is left; name fewer, or use {' or '.join(others)}, which trains "
            "one target after the other."
        )
    return {each.target: InteractionSource(prepared, each, options) for each in roles}


def _trains_each(system: System) -> bool:
    """Whether a system reads interactions and shares nothing between targets by default."""
    if system.log != "interactions" or system.joint_targets:
        return False
    return not system.stages(system.config_class())[0].shared
