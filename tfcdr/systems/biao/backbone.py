"""What BIAO asks of a cross-domain network, whichever it is."""

import abc
from typing import NamedTuple

import tensorflow as tf

from tfcdr.stage_model import Batch
from tfcdr.systems.biao.config import BiaoConfig
from tfcdr.systems.biao.tables import Reads, Tables


class Hidden(NamedTuple):
    """The towers' last layers, which the heads read.

    Attributes:
      source: float [batch, d]; None in a network that reads no sources.
      target: float [batch, d].
    """

    source: tf.Tensor | None
    target: tf.Tensor


class Backbone(tf.keras.layers.Layer, abc.ABC):
    """A network with a tower for each domain, built over embedding tables that it does not own.

    The model's inner steps hand it the whole tables. An outer step hands it the rows that its
    batches touch, with ids that point into them: a backbone reads ids by `tf.gather` alone.
    """

    def __init__(self, config: BiaoConfig) -> None:
        """Creates every weight.

        Args:
          config: its sizes; `source_loss="none"` asks for the target's tower alone.
        """
        super().__init__(name=config.backbone)
        self.config = config

    @abc.abstractmethod
    def reads(self) -> Reads:
        """Returns, by table, the batch entries through which its parameters are read."""

    @abc.abstractmethod
    def hidden(self, tables: Tables, batch: Batch) -> Hidden:
        """Computes both towers.

        Args:
          tables: float [rows, e] by name.
          batch: ids, int [batch] or [batch, T]; see `model.BiaoModel`.
        """
