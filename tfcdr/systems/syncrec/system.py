"""SyNCRec as a system."""

import tensorflow as tf

from tfcdr import optimizers
from tfcdr.stage_model import MODEL_OPTIMIZER
from tfcdr.systems.syncrec.config import SyncRecConfig


class SyncRec:
    def optimizers(
        self, stage: str, config: SyncRecConfig
    ) -> dict[str, tf.keras.optimizers.Optimizer]:
        del stage
        adam = optimizers.pytorch_adam(config.learning_rate, table_update=config.table_update)
        return {MODEL_OPTIMIZER: adam}
