"""TiMiRec's benchmark: both stages in PyTorch, and RecBole's model for the task of the first."""

import dataclasses
from collections.abc import Mapping

from tfcdr.benchmark import Benchmark, HistorySizes, Invocation, Peer
from tfcdr.stage import Stage
from tfcdr.systems.timirec.config import TiMiRecConfig


def _recbole(
    stage: Stage, config: TiMiRecConfig, sizes: HistorySizes, settings: Mapping[str, str]
) -> Invocation:
    return Invocation(
        {
            "model": settings["model"],
            "channels": config.embedding_size,
            "layers": 1,
            "heads": 1,
            "loss": "BPR",
            "batch_size": stage.batch_size,
            **sizes._asdict(),
        }
    )


def _pytorch(
    stage: Stage, config: TiMiRecConfig, sizes: HistorySizes, settings: Mapping[str, str]
) -> Invocation:
    del settings
    domains = 2 if config.history_domains == "all" else 1
    return Invocation(
        {
            "stage": stage.name,
            "config": dataclasses.asdict(config),
            "rows": domains * sizes.items + 1,
            "batch_size": stage.batch_size,
            **sizes._asdict(),
        }
    )


class TiMiRecBenchmark(Benchmark):
    """Peers of both stages, which are measured by their steps alone."""

    peers = (
        Peer(
            name="recbole",
            program="launchers.benchmarking.peers.recbole_sequential",
            invoke=_recbole,
            stages=("pretrain",),
            settings={"model": ("SASRec",)},
        ),
        Peer(
            name="pytorch",
            program="launchers.benchmarking.peers.timirec_pytorch",
            invoke=_pytorch,
            fields={"variant": ("timirec",)},
        ),
    )
