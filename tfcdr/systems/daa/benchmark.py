"""DAA's benchmark: its source stage in PyTorch, its greatest product, its alternating step."""

import dataclasses
from collections.abc import Mapping

from tfcdr.benchmark import (
    MATRIX_PRODUCTS,
    Benchmark,
    ImpressionSizes,
    Invocation,
    Kernel,
    Peer,
    Phase,
    matrix_products,
)
from tfcdr.data_source import ImpressionSource
from tfcdr.stage import Stage
from tfcdr.systems.daa.config import DaaConfig


def _pytorch(
    stage: Stage, config: DaaConfig, sizes: ImpressionSizes, settings: Mapping[str, str]
) -> Invocation:
    del stage, settings
    return Invocation({"config": dataclasses.asdict(config), **sizes._asdict()})


class DaaBenchmark(Benchmark[ImpressionSource]):
    """Peers, kernels and phases of both stages."""

    peers = (
        Peer(
            name="pytorch",
            program="launchers.benchmarking.peers.daa_pytorch",
            invoke=_pytorch,
            stages=("source",),
            fields={"backbone": ("sharedbottom", "mmoe")},
        ),
    )

    def kernels(
        self, config: DaaConfig, data: ImpressionSource, stage: Stage
    ) -> Mapping[str, Kernel]:
        """The product of all experts' first layer, with both products of its gradient.

        It is what a machine multiplies at its best, and so the measure for backbones of any size.
        """
        inputs = (len(data.field_sizes) + 1) * config.embedding_size
        outputs = config.experts * config.bottom_widths[0]
        return {MATRIX_PRODUCTS: matrix_products([(stage.batch_size, inputs, outputs)])}

    def phases(self, config: DaaConfig, stage: Stage) -> tuple[Phase, ...]:
        """Where critics and model alternate: theirs on every batch, its own on some of them."""
        if stage.name != "adapt" or config.adaptation != "alternating":
            return super().phases(config, stage)
        return (
            Phase("critics", "critic_losses_and_gradients", "critics"),
            Phase("gradients", "loss_and_gradients", "model", every=config.critic_steps),
        )
