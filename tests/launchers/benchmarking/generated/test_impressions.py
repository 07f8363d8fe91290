"""Generated impressions look like the published ones."""

import numpy as np
import tensorflow as tf

from data_pipelines.impressions.synthetic import FIELD_SIZES
from launchers.benchmarking.generated.generator import DataSizes
from launchers.benchmarking.generated.impressions import Impressions


def test_generated_impressions_have_the_published_columns_in_both_domains(tmp_path):
    data = Impressions().prepare(tmp_path / "data", DataSizes(impressions=150))
    assert data.field_sizes == FIELD_SIZES
    for domain in ("source", "target"):
        assert data.num_examples("impression", "train", domain=domain) == 150
        (batch,) = data.batches("impression", "train", batch_size=150, seed=0, domain=domain).take(
            1
        )
        assert batch["categorical"].shape == (150, 16)
        assert batch["numerical"].shape == (150, 63)
        greatest = tf.reduce_max(batch["categorical"], 0).numpy()
        assert np.all(greatest < FIELD_SIZES)
        assert np.all(greatest > 0)
        assert 0 < tf.reduce_sum(batch["click"]) < 75
