"""What PeterRec's peers are told, and the operations of its kernels."""

import dataclasses
import types

from tfcdr.benchmark import HistorySizes
from tfcdr.systems.peterrec.config import PeterRecConfig
from tfcdr.systems.peterrec.system import PeterRec

SIZES = HistorySizes(items=100, length=6, users=120, categories=20)
CONFIG = PeterRecConfig(channels=8, dilations=(1, 4), pretrain_batch_size=16)


def told(name, **settings):
    (peer,) = (peer for peer in PeterRec.benchmark.peers if peer.name == name)
    stage = PeterRec().stages(CONFIG)[0]
    return peer.invoke(stage, CONFIG, SIZES, settings)


def test_the_release_is_told_the_configuration():
    settings, environment = told("release", onednn="true")
    assert settings == {"config": dataclasses.asdict(CONFIG), **SIZES._asdict()}
    assert not environment
    assert told("release", onednn="false") == (settings, {"TF_ENABLE_ONEDNN_OPTS": "0"})


def test_recbole_is_told_the_sizes_of_the_network():
    settings, environment = told("recbole", model="NextItNet")
    assert settings == {
        "model": "NextItNet",
        "channels": 8,
        "dilations": (1, 4),
        "kernel_size": 3,
        "layers": 2,
        "heads": 2,
        "loss": "CE",
        "batch_size": 16,
        **SIZES._asdict(),
    }
    assert not environment
    assert told("recbole", model="SASRec").settings == {**settings, "model": "SASRec"}


def test_operations_of_the_convolutions_leave_padding_out():
    config = dataclasses.replace(CONFIG, dilations=(2,))
    stage = PeterRec().stages(config)[0]
    data = types.SimpleNamespace(max_length=6)
    measured = PeterRec.benchmark.kernels(config, data, stage)
    # Length 6: dilation 2 reads 6 + 4 + 2 items, dilation 4 reads 6 + 2 and nothing 8 back.
    multiply_adds = 16 * 8 * 8 * (12 + 8)
    assert measured["convolutions"].flops == 3 * 2 * multiply_adds
    # Two layers of [16 * 6, 3 * 8] by [3 * 8, 8], forward and twice backward.
    assert measured["matrix products"].flops == 2 * 3 * 2 * 96 * 24 * 8
    for kernel in measured.values():
        kernel.run()
