"""What TiMiRec's peers are told."""

import dataclasses

import pytest

from tfcdr.benchmark import HistorySizes
from tfcdr.systems.timirec.config import TiMiRecConfig
from tfcdr.systems.timirec.system import TiMiRec

SIZES = HistorySizes(items=100, length=6, users=120, categories=20)
CONFIG = TiMiRecConfig(embedding_size=8, pretrain_batch_size=16, finetune_batch_size=32)


def told(name, stage, config=CONFIG, **settings):
    (peer,) = (peer for peer in TiMiRec.benchmark.peers if peer.name == name)
    (found,) = (found for found in TiMiRec().stages(config) if found.name == stage)
    invocation = peer.invoke(found, config, SIZES, settings)
    assert not invocation.environment
    return invocation.settings


def test_recbole_is_told_the_sizes_of_the_network():
    assert told("recbole", "pretrain", model="SASRec") == {
        "model": "SASRec",
        "channels": 8,
        "layers": 1,
        "heads": 1,
        "loss": "BPR",
        "batch_size": 16,
        **SIZES._asdict(),
    }


# The item table holds padding besides the items of both domains, or of one.
@pytest.mark.parametrize(("history_domains", "rows"), [("all", 201), ("target", 101)])
@pytest.mark.parametrize(("stage", "batch_size"), [("pretrain", 16), ("finetune", 32)])
def test_pytorch_is_told_the_configuration(stage, batch_size, history_domains, rows):
    config = dataclasses.replace(CONFIG, history_domains=history_domains)
    assert told("pytorch", stage, config) == {
        "stage": stage,
        "config": dataclasses.asdict(config),
        "rows": rows,
        "batch_size": batch_size,
        **SIZES._asdict(),
    }


@pytest.mark.parametrize(
    ("name", "stage", "variant", "does"),
    [
        ("recbole", "pretrain", "comirec", True),
        ("recbole", "finetune", "timirec", False),
        ("pytorch", "finetune", "timirec", True),
        ("pytorch", "pretrain", "comirec", False),
    ],
)
def test_which_work_a_peer_does(name, stage, variant, does):
    config = dataclasses.replace(CONFIG, variant=variant, transformer_layer=variant == "timirec")
    (peer,) = (peer for peer in TiMiRec.benchmark.peers if peer.name == name)
    assert peer.does_work_of(stage, config) == does
