"""BIAO's benchmark: what weights cost, and plain CoNet in PyTorch."""

import dataclasses
from collections.abc import Mapping

from tfcdr.benchmark import Benchmark, HistorySizes, Invocation, Peer, Phase
from tfcdr.stage import Stage
from tfcdr.systems.biao.config import BiaoConfig


def _pytorch(
    stage: Stage, config: BiaoConfig, sizes: HistorySizes, settings: Mapping[str, str]
) -> Invocation:
    del stage, settings
    return Invocation({"config": dataclasses.asdict(config), **sizes._asdict()})


class BiaoBenchmark(Benchmark):
    """A peer of plain CoNet, and the phases of a weighted step.

    By itself the benchmark shows what learning the weights costs: beside a network with uniform
    weights, with a shorter descent of the replacement head, and without any.
    """

    peers = (
        Peer(
            name="pytorch",
            program="launchers.benchmarking.peers.biao_pytorch",
            invoke=_pytorch,
            # A step that moves only some rows of the tables does less.
            fields={
                "backbone": ("conet",),
                "source_loss": ("uniform",),
                "table_update": ("all_rows",),
            },
        ),
    )
    rivals = (
        "tfcdr biao.source_loss=uniform",
        "tfcdr biao.descent_steps=10",
        "tfcdr biao.descent_steps=0",
    )

    def phases(self, config: BiaoConfig, stage: Stage) -> tuple[Phase, ...]:
        """What the perceptron takes of a step, forward, apart from the network."""
        if not config.learns_weights:
            return super().phases(config, stage)
        return (
            Phase("weights", "weights_of", "weights, forward"),
            Phase("forward", "compute_losses", "network, forward", includes="weights"),
            Phase("gradients", "loss_and_gradients", "backward", includes="forward"),
        )
