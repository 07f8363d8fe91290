"""The release's formulation computes what the port computes."""

import numpy as np
import tensorflow as tf

from launchers.benchmarking.peers.nextitnet_release import ReleasedNextItNet
from tfcdr.systems.peterrec.config import PeterRecConfig
from tfcdr.systems.peterrec.model import PretrainingModel

CONFIG = PeterRecConfig(channels=8, dilations=(1, 4), pretrain_batch_size=16)


def test_the_release_is_the_same_network():
    release = ReleasedNextItNet(CONFIG, items=100)
    ours = PretrainingModel(CONFIG, 6, 103, np.arange(100, 0, -1))
    random = np.random.default_rng(0)
    table = ours.trunk.item_embedding.embeddings
    table.assign(random.normal(size=table.shape))
    release.embedding.assign(table[:101])
    for block, theirs in zip(ours.trunk.blocks, release.blocks, strict=True):
        layers = ((block.convolution1, block.norm1), (block.convolution2, block.norm2))
        for (convolution, norm), weights in zip(layers, theirs, strict=True):
            for variable in (*convolution.weights, *norm.weights):
                variable.assign(random.normal(size=variable.shape))
            assert convolution.dilation == weights["dilation"]
            weights["weight"].assign(convolution.kernel[tf.newaxis])
            weights["bias"].assign(convolution.bias)
            weights["gamma"].assign(norm.gamma)
            weights["beta"].assign(norm.beta)
    ids = tf.constant(random.integers(1, 101, (4, 6)), tf.int32)
    np.testing.assert_allclose(release.hidden(ids), ours.trunk(ids), rtol=1e-3, atol=1e-4)
