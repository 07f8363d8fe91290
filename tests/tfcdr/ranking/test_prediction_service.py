"""The export behind a loopback gRPC service that speaks TensorFlow Serving's protocol."""

from concurrent import futures

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

from tests.tfcdr.ranking import tiny_models
from tests.tfcdr.ranking.tiny_models import CANDIDATES, HISTORIES, SEEN, Answer
from tfcdr.serving import warmup

SECONDS = 60


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers `Predict` from a SavedModel."""

    def __init__(self, saved_model):
        self._signatures = tf.saved_model.load(str(saved_model)).signatures

    def Predict(self, request, context):
        signature = self._signatures[request.model_spec.signature_name or "serving_default"]
        inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
        outputs = signature(**{name: tf.constant(rows) for name, rows in inputs.items()})
        response = predict_pb2.PredictResponse(model_spec=request.model_spec)
        for name, value in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        return response


@pytest.fixture(scope="module")
def stub(saved_model):
    server = grpc.server(futures.ThreadPoolExecutor(1))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(saved_model), server
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)
    server.stop(None).wait(SECONDS)


def predict(stub, signature, **inputs):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "tfcdr"
    request.model_spec.signature_name = signature
    for name, rows in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(rows))
    outputs = stub.Predict(request, timeout=SECONDS).outputs
    return {name: tf.make_ndarray(proto).tolist() for name, proto in outputs.items()}


def test_both_signatures(stub, tiny_answer):
    # A client that names no signature gets serving_default.
    scores = predict(stub, "", history=HISTORIES, candidates=CANDIDATES)["scores"]
    best = predict(stub, "recommend", history=HISTORIES, seen_items=SEEN)
    items = [[item.decode() for item in row] for row in best["items"]]
    tiny_models.assert_answers(tiny_answer, Answer(scores, items, best["scores"]))


def test_warm_up_requests_are_answered(stub, saved_model):
    records = tf.data.TFRecordDataset(str(saved_model / warmup.FILE)).as_numpy_iterator()
    logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in records]
    requests = [log.predict_log.request for log in logs]
    assert [request.model_spec.signature_name for request in requests] == [
        "serving_default",
        "recommend",
    ]
    for request in requests:
        assert stub.Predict(request, timeout=SECONDS).outputs["scores"].dtype == tf.float32
