"""CoNet: two towers that exchange what they know at every layer (Hu et al., CIKM 2018)."""

import itertools

import tensorflow as tf

from tfcdr.stage_model import Batch
from tfcdr.systems.biao.backbone import Backbone, Hidden
from tfcdr.systems.biao.config import BiaoConfig
from tfcdr.systems.biao.linear import linear
from tfcdr.systems.biao.tables import (
    SOURCE_CATEGORY,
    SOURCE_ITEM,
    TARGET_CATEGORY,
    TARGET_ITEM,
    USER,
    Reads,
    Tables,
    of_source,
    of_target,
    reads_of_pairs,
)


class CoNet(Backbone):
    """Towers with cross units: SPEC section 2.

    x_s' = relu(W_s x_s + H x_t) and x_t' = relu(W_t x_t + H x_s), with one H a layer. Without
    sources, x_t' = relu(W_t x_t).

    Attributes:
      target_layers, source_layers, cross_layers: W_t, W_s and H of each layer.
    """

    def __init__(self, config: BiaoConfig) -> None:
        super().__init__(config)
        widths = list(itertools.pairwise((3 * config.embedding_size, *config.hidden_widths)))

        def layers(name: str) -> list[tf.keras.layers.Dense]:
            return [
                linear(*sizes, f"{name}{number}", use_bias=False)
                for number, sizes in enumerate(widths)
            ]

        self.target_layers = layers("target")
        self.source_layers = layers("source") if config.reads_sources else []
        self.cross_layers = layers("cross") if config.reads_sources else []

    def reads(self) -> Reads:
        return reads_of_pairs(self.config.reads_sources, histories=False)

    def hidden(self, tables: Tables, batch: Batch) -> Hidden:
        user = tf.gather(tables[USER], batch[USER])
        candidate = of_target(tables, batch[TARGET_ITEM], batch[TARGET_CATEGORY])
        target = tf.concat([user, candidate], 1)
        if not self.config.reads_sources:
            for layer in self.target_layers:
                target = tf.nn.relu(layer(target))
            return Hidden(None, target)
        behaviour = of_source(tables, batch[SOURCE_ITEM], batch[SOURCE_CATEGORY])
        source = tf.concat([user, behaviour], 1)
        layers = zip(self.target_layers, self.source_layers, self.cross_layers, strict=True)
        for target_layer, source_layer, cross_layer in layers:
            # One product for what goes either way.
            to_target, to_source = tf.split(cross_layer(tf.concat([source, target], 0)), 2)
            target = tf.nn.relu(target_layer(target) + to_target)
            source = tf.nn.relu(source_layer(source) + to_source)
        return Hidden(source, target)
