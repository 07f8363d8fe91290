"""Run as a script: answers a request from a SavedModel with nothing but TensorFlow.

Arguments: the SavedModel. Standard input: JSON, {signature: {input: rows of strings}}. Standard
output: JSON, {signature: {output: rows}}.
"""

import json
import sys

ABSENT = ("tfcdr", "data_pipelines", "launchers", "tensorflow_recommenders", "tf_keras")


class Absence:
    """An import hook for which some packages do not exist, installed or not."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"{name} is not here", name=name)


def rows(tensor):
    array = tensor.numpy()
    if array.ndim == 1:
        return array.tolist()
    return [[x.decode() if isinstance(x, bytes) else float(x) for x in row] for row in array]


def main():
    sys.meta_path.insert(0, Absence())
    import tensorflow as tf

    signatures = tf.saved_model.load(sys.argv[1]).signatures
    answer = {}
    for signature, inputs in json.load(sys.stdin).items():
        outputs = signatures[signature](**{key: tf.constant(x) for key, x in inputs.items()})
        answer[signature] = {name: rows(value) for name, value in outputs.items()}
    for name in ABSENT:
        assert name not in sys.modules
        try:
            __import__(name)
        except ModuleNotFoundError:
            continue
        raise AssertionError(f"{name} could be imported")
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
