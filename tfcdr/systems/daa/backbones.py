"""The seven backbones by name."""

from tfcdr.systems.daa.backbone import Backbone
from tfcdr.systems.daa.bottom_networks import Aitm, SharedBottom, SingleTask
from tfcdr.systems.daa.config import DaaConfig
from tfcdr.systems.daa.expert_networks import (
    LayeredExtraction,
    MultiGateMixture,
    OneGateMixture,
)
from tfcdr.systems.daa.metaheac import MetaHeac

_BACKBONES: dict[str, type[Backbone]] = {
    "singletask": SingleTask,
    "sharedbottom": SharedBottom,
    "omoe": OneGateMixture,
    "mmoe": MultiGateMixture,
    "ple": LayeredExtraction,
    "aitm": Aitm,
    "metaheac": MetaHeac,
}


def make_backbone(config: DaaConfig, field_sizes: tuple[int, ...], num_numerical: int) -> Backbone:
    """Builds the configured network with every weight created.

    Args:
      config: the configuration.
      field_sizes: number of values of each categorical column.
      num_numerical: numerical columns M.
    """
    return _BACKBONES[config.backbone](config, field_sizes, num_numerical)
