"""The backbones by name."""

from tfcdr.systems.biao.backbone import Backbone
from tfcdr.systems.biao.conet import CoNet
from tfcdr.systems.biao.config import BiaoConfig
from tfcdr.systems.biao.minet import MiNet

_KINDS = {"conet": CoNet, "minet": MiNet}


def make_backbone(config: BiaoConfig) -> Backbone:
    """Creates the configured backbone with all of its weights."""
    return _KINDS[config.backbone](config)
