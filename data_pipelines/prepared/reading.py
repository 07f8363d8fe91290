"""A prepared data set read as a run before has read it."""

from collections.abc import Mapping
from typing import Any

from data_pipelines.errors import DataError
from data_pipelines.prepared.dataset import PreparedData
from data_pipelines.prepared.impression_source import ImpressionSource
from data_pipelines.prepared.interaction_source import InteractionSource
from data_pipelines.views.example_options import ExampleOptions
from data_pipelines.views.roles import Roles

Source = InteractionSource | ImpressionSource


def reopen(prepared: PreparedData, settings: Mapping[str, Any]) -> Source:
    """Reads a data set by the `settings` that a source has given of itself.

    Raises:
      DataError: they are not of such a data set.
    """
    if prepared.log == "impressions":
        return ImpressionSource(prepared)
    try:
        roles = Roles(
            prepared.domains,
            settings["target"],
            tuple(settings["sources"]),
            tuple(settings["targets"]),
            bool(settings.get("joint", False)),
        )
        options = ExampleOptions(**settings["examples"])
        for name in (*roles.sources, *roles.targets):
            prepared.domains.index(name)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{prepared.data_dir}: cannot be read as the run has read it ({error}); name the data "
            "set that it was trained on."
        ) from error
    return InteractionSource(prepared, roles, options)
