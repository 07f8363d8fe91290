"""SyNCRec's benchmark: its step as the release writes it, in PyTorch, and its matrix products."""

import dataclasses
from collections.abc import Mapping

from tfcdr.benchmark import (
    MATRIX_PRODUCTS,
    Benchmark,
    DomainSequenceSizes,
    Invocation,
    Kernel,
    Peer,
    matrix_products,
)
from tfcdr.data_source import DataSource
from tfcdr.stage import Stage
from tfcdr.systems.syncrec.config import SyncRecConfig


def _pytorch(
    stage: Stage, config: SyncRecConfig, sizes: DomainSequenceSizes, settings: Mapping[str, str]
) -> Invocation:
    del settings
    return Invocation(
        {
            "config": dataclasses.asdict(config),
            "cross_experts": config.cross_experts,
            "batch_size": stage.batch_size,
            **sizes._asdict(),
        }
    )


class SyncRecBenchmark(Benchmark):
    """One peer; a step is measured by the machine's rate of an expert's products."""

    peers = (
        Peer(
            name="pytorch",
            program="launchers.benchmarking.peers.syncrec_pytorch",
            invoke=_pytorch,
            fields={
                "training": ("joint",),
                "modules": ("independent",),
                "expert_layer": ("transformer",),
                "loss_weighting": ("rebalanced",),
                "mutual_information": (True,),
                "negatives": (1,),
            },
        ),
    )

    def kernels(
        self, config: SyncRecConfig, data: DataSource, stage: Stage
    ) -> Mapping[str, Kernel]:
        """Returns the products of one expert's layer for the tasks of all domains."""
        domains = len(data.vocabulary("joint").domain_sizes)
        rows, size = domains * stage.batch_size * data.max_length, config.hidden_size
        widths = ((size, 3 * size), (size, size), (size, 4 * size), (4 * size, size))
        shapes = [(rows, inner, columns) for inner, columns in widths]
        return {MATRIX_PRODUCTS: matrix_products(shapes)}
