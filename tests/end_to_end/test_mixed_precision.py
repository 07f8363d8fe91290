"""--mixed_precision: half precision in training, none in what is served."""

import pytest
import tensorflow as tf

from tests.end_to_end import launching
from tests.end_to_end.launching import SMALL_DATA, SMALL_RUN


def dtypes(graph):
    """Types of all tensors in a graph and its functions."""
    definition = graph.as_graph_def()
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    return {
        tf.as_dtype(value.type)
        for node in nodes
        for value in node.attr.values()
        if value.WhichOneof("value") == "type"
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("mixed") / "run"
    flags = [*SMALL_DATA, *SMALL_RUN, "--export", "--mixed_precision", f"--workdir={workdir}"]
    outcome = launching.forked("train", *flags)
    assert outcome.status == 0, outcome.err
    return workdir, outcome


@pytest.mark.slow
def test_a_device_without_it_is_warned_of_once(run):
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("this machine has a GPU, which may well compute in half precision")
    _, outcome = run
    assert outcome.err.count("this machine does not have a GPU") == 1
    assert "unrestored" not in outcome.err


@pytest.mark.slow
def test_the_export_computes_in_float32(run):
    workdir, _ = run
    for signature in tf.saved_model.load(str(workdir / "export" / "1")).signatures.values():
        assert tf.float32 in dtypes(signature.graph)
        assert not {tf.float16, tf.bfloat16} & dtypes(signature.graph)


def test_refused_where_losses_cannot_be_scaled(tmp_path):
    outcome = launching.call(
        "train", "--mixed_precision", "--strategy=parameter_server", f"--workdir={tmp_path / 'run'}"
    )
    assert outcome.status == 2
    assert "--strategy=parameter_server" in outcome.error
