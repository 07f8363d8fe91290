import tensorflow as tf

from tfcdr import optimizers
from tfcdr.stage_model import MODEL_OPTIMIZER
from tfcdr.systems.biao.model import *


class Biao:
    def optimizers(self, stage, config):
        del stage
        named = {
            MODEL_OPTIMIZER: optimizers.pytorch_adam(
                config.learning_rate, config.l2, table_update=config.table_update
            )
        }
        if config.learns_weights:
            named[HEAD_OPTIMIZER] = optimizers.pytorch_adam(config.learning_rate)
            named[IMPORTANCE_OPTIMIZER] = tf.keras.optimizers.SGD(
                config.importance_learning_rate, jit_compile=False
            )
        return named
