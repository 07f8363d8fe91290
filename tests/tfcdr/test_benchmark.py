"""What a peer says about its work, and kernels about their operations."""

import dataclasses
import types

import pytest

from tfcdr.benchmark import Benchmark, Invocation, Peer, matrix_products
from tfcdr.system import System

PEER = Peer(
    name="pytorch",
    program="some.module",
    invoke=lambda stage, config, sizes, settings: Invocation({}),
    stages=("pretrain", "finetune"),
    fields={"backbone": ("mmoe", "ple"), "causal": (True,)},
)


@pytest.mark.parametrize(
    ("stage", "backbone", "causal", "does"),
    [
        ("pretrain", "ple", True, True),
        ("finetune", "mmoe", True, True),
        ("adapt", "mmoe", True, False),
        ("pretrain", "omoe", True, False),
        ("pretrain", "mmoe", False, False),
    ],
)
def test_a_peer_does_the_work_of_its_stages_and_fields(stage, backbone, causal, does):
    config = types.SimpleNamespace(backbone=backbone, causal=causal)
    assert PEER.does_work_of(stage, config) == does


def test_a_peer_without_conditions_does_all_work():
    everything = dataclasses.replace(PEER, stages=(), fields={})
    assert everything.does_work_of("adapt", types.SimpleNamespace())
    assert everything.work("toy") == "--system=toy"


def test_a_peer_names_its_work_by_flags():
    assert PEER.work("toy") == (
        "--system=toy --stage=pretrain or finetune --toy.backbone=mmoe or ple --toy.causal=true"
    )


def test_matrix_products_with_those_of_their_gradients():
    kernel = matrix_products([(2, 3, 5), (7, 2, 1)])
    assert kernel.flops == 3 * 2 * (2 * 3 * 5 + 7 * 2 * 1)
    shapes = [tuple(product.shape) for products in kernel.run() for product in products]
    assert shapes == [(2, 5), (2, 3), (3, 5), (7, 1), (7, 2), (2, 1)]


def test_equal_products_are_computed_each():
    (first, *_), (second, *_) = matrix_products([(2, 3, 5)] * 2).run()
    assert (first != second).numpy().all()


def test_a_system_needs_no_benchmark_of_its_own():
    assert System.benchmark.peers == ()
    assert not System.benchmark.kernels(None, None, None)
    names = [phase.name for phase in Benchmark().phases(None, None)]
    assert names == ["forward", "gradients"]
