"""The check of batches against what a model reads."""

import types

import pytest
import tensorflow as tf

from tests.tfcdr.epoch_by_epoch import EpochByEpoch
from tfcdr.data_source import DomainPairs, ViewRequest, check_batch
from tfcdr.errors import RunError

EXPECTED = {
    "items": tf.TensorSpec([None, None], tf.int32),
    "example_weight": tf.TensorSpec([None], tf.float32),
}


def spec(**entries):
    fitting = {
        "items": tf.TensorSpec([8, 5], tf.int32),
        "example_weight": tf.TensorSpec([8], tf.float32),
    }
    return {**fitting, **entries}


def test_fitting_batches_pass_with_further_entries():
    check_batch(spec(user=tf.TensorSpec([8], tf.int32)), EXPECTED, "pretraining")


def test_missing_entry_names_it_and_what_is_there():
    came = {"context": tf.TensorSpec([8, 6], tf.int32), "user": tf.TensorSpec([8], tf.int32)}
    with pytest.raises(RunError) as raised:
        check_batch(came, EXPECTED, "pretraining")
    message = str(raised.value)
    for part in ("pretraining", "'items'", "int32 (None, None)", "context, user", "another view"):
        assert part in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("items", "came"),
    [
        (tf.TensorSpec([8], tf.int32), r"int32 \(8,\)"),
        (tf.TensorSpec([8, 5], tf.int64), r"int64 \(8, 5\)"),
    ],
)
def test_another_shape_or_dtype_says_both(items, came):
    with pytest.raises(RunError, match=rf"'items'.*expects int32 \(None, None\).*{came} came"):
        check_batch(spec(items=items), EXPECTED, "pretraining")


class Counted(EpochByEpoch):
    """Three batches an epoch of one domain and seven of the other; each holds its number."""

    steps = types.MappingProxyType({"short": 3, "long": 7})

    def num_examples(self, view, split, **options):
        return 2 * self.steps[view] - 1

    def batches(self, view, split, *, batch_size, seed, epoch, rows, shuffled):
        assert batch_size == 2
        numbers = [100 * epoch + step for step in range(self.steps[view])]
        return tf.data.Dataset.from_tensor_slices({"number": numbers})


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        # Epochs 6, 7 and 8 of the source, as far as the target goes.
        ("short", "long", [600, 601, 602, 700, 701, 702, 800]),
        ("long", "short", [200, 201, 202]),
    ],
)
def test_pairs_last_as_long_as_the_targets_epoch(source, target, expected):
    pairs = DomainPairs(ViewRequest(source, {}), ViewRequest(target, {}))
    of_target = [200 + step for step in range(Counted.steps[target])]
    epoch = list(pairs.batches(Counted(), "train", 2, 0, 2).as_numpy_iterator())
    assert [int(batch["source_number"]) for batch in epoch] == expected
    assert [int(batch["target_number"]) for batch in epoch] == of_target
    # Several epochs are what each is alone.
    alone = [list(pairs.batches(Counted(), "train", 2, 0, e).as_numpy_iterator()) for e in (4, 2)]
    several = pairs.epochs(Counted(), "train", 2, 0, [4, 2])
    assert list(several.as_numpy_iterator()) == alone[0] + alone[1]


def test_view_request_passes_its_options_on():
    class Recorder:
        def batches(self, view, split, **options):
            return view, split, options

    request = ViewRequest("transfer", {"cls": "both"})
    told = {"batch_size": 32, "seed": 4, "epoch": 2, "rows": (8, 16), "cls": "both"}
    place = {"seed": 4, "epoch": 2, "rows": (8, 16)}
    for split, shuffled, expected in (
        ("test", True, False),  # held-out examples have one order
        ("train", True, True),
        ("train", False, False),
    ):
        assert request.batches(Recorder(), split, 32, **place, shuffled=shuffled) == (
            "transfer",
            split,
            {**told, "shuffled": expected},
        )
