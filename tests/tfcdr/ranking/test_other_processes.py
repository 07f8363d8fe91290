"""The export answers where our Python is not: plain TensorFlow, and TensorFlow's C API."""

import json
import os
import pathlib
import subprocess
import sys

from tensorflow.core.protobuf import saved_model_pb2

from tests.tfcdr.ranking import tiny_models
from tests.tfcdr.ranking.tiny_models import CANDIDATES, HISTORIES, SEEN, Answer

HERE = pathlib.Path(__file__).parent
REQUESTS = {
    "serving_default": {"history": HISTORIES, "candidates": CANDIDATES},
    "recommend": {"history": HISTORIES, "seen_items": SEEN},
}


def ask(script, saved_model, task, folder):
    """Runs a client from a folder without our packages; a crash fails the test."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    for name in ("PYTHONPATH", "TF_USE_LEGACY_KERAS"):
        environment.pop(name, None)
    result = subprocess.run(
        [sys.executable, str(HERE / script), str(saved_model)],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    answer = json.loads(result.stdout)
    best = answer["recommend"]
    assert best["known"] == [5, 1, 2, 0]
    return Answer(answer["serving_default"]["scores"], best["items"], best["scores"])


def tensor_names(saved_model):
    """Returns {signature: {input or output: tensor}} of the graph with the tag "serve"."""
    content = saved_model_pb2.SavedModel.FromString((saved_model / "saved_model.pb").read_bytes())
    [graph] = [
        graph for graph in content.meta_graphs if list(graph.meta_info_def.tags) == ["serve"]
    ]
    return {
        name: {key: info.name for part in (one.inputs, one.outputs) for key, info in part.items()}
        for name, one in graph.signature_def.items()
        if name in REQUESTS
    }


def test_plain_tensorflow(saved_model, tiny_answer, tmp_path):
    got = ask("saved_model_client.py", saved_model, REQUESTS, tmp_path)
    tiny_models.assert_answers(tiny_answer, got)


def test_c_api(saved_model, tiny_answer, tmp_path):
    task = {"requests": REQUESTS, "tensors": tensor_names(saved_model)}
    got = ask("c_api_client.py", saved_model, task, tmp_path)
    tiny_models.assert_answers(tiny_answer, got)
