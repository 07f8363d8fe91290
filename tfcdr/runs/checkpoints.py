"""Checkpoints of a stage: one newest each of two kinds, and errors that a person can mend."""

import pathlib

import tensorflow as tf

from tfcdr.distribution.one_device import Distribution
from tfcdr.errors import RunError


def make_manager(
    directory: str, **state: tf.Variable | tf.Module | tf.train.Checkpoint
) -> tf.train.CheckpointManager:
    """Returns what keeps the newest checkpoint of some state in a folder.

    Raises:
      RunError: the folder's listing is damaged, as a power cut leaves it.
    """
    try:
        return tf.train.CheckpointManager(tf.train.Checkpoint(**state), directory, max_to_keep=1)
    except (ValueError, tf.errors.OpError) as error:  # No listing, no text, or a folder.
        raise _no_listing(pathlib.Path(directory, "checkpoint")) from error


def restore(manager: tf.train.CheckpointManager, distribution: Distribution) -> bool:
    """Restores the newest checkpoint, if there is one, and returns whether.

    Raises:
      RunError: it does not fit the state, or it is damaged.
    """
    listing = pathlib.Path(manager.directory, "checkpoint")
    try:
        # Another process may have written it.
        path = tf.train.latest_checkpoint(manager.directory)
    except (ValueError, tf.errors.OpError):  # No text, or a folder of this name.
        path = None
    if not path:
        if listing.exists():  # TensorFlow takes an unreadable one for none
            raise _no_listing(listing)
        return False
    try:
        # A checkpoint counts how often its process has saved; the counter appears when it is asked
        # for. Of all else it may hold neither less nor more than the state.
        _ = manager.checkpoint.save_counter
        status = manager.checkpoint.restore(path, options=distribution.checkpoint_options)
        status.assert_consumed()
    # A truncated file is an IndexError.
    except (ValueError, AssertionError, LookupError, tf.errors.OpError) as error:
        # TensorFlow would also list, one by one, the values that it could not place.
        tf.get_logger().addFilter(lambda record: "checkpoint" not in record.getMessage().lower())
        reason = str(error).splitlines()[0]
        raise RunError(
            f"{path}: the checkpoint does not fit the model ({reason}); it is of another "
            f"configuration, or damaged: then remove {pathlib.Path(path).parents[1]} to train the "
            "stage again."
        ) from error
    return True


def _no_listing(path: pathlib.Path) -> RunError:
    return RunError(
        f"{path}: damaged, so that no checkpoint is found; remove {path.parents[1]} to train the "
        "stage again."
    )
