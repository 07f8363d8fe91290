"""Requests that a server answers before it takes traffic, so that no user waits for the first."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

FILE = "assets.extra/tf_serving_warmup_requests"

Requests = Mapping[str, Mapping[str, np.ndarray]]


def write_requests(saved_model: Path, requests: Requests) -> None:
    """Writes the file that TensorFlow Serving replays when it loads a model.

    Args:
      saved_model: the folder of the SavedModel.
      requests: for each signature, its inputs by name, arrays of any type.
    """
    path = saved_model / FILE
    path.parent.mkdir()
    with tf.io.TFRecordWriter(os.fspath(path)) as writer:
        for signature, inputs in requests.items():
            request = predict_pb2.PredictRequest()
            request.model_spec.signature_name = signature
            for name, rows in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(rows))
            log = prediction_log_pb2.PredictLog(request=request)
            entry = prediction_log_pb2.PredictionLog(predict_log=log)
            writer.write(entry.SerializeToString())
