"""Training a stage: order, checkpoints, resume, early stopping, failures."""

import dataclasses
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tests.tfcdr.epoch_by_epoch import EpochByEpoch
from tfcdr import optimizers
from tfcdr.data_source import ViewRequest
from tfcdr.errors import RunError
from tfcdr.losses import weighted_mean
from tfcdr.runs.run_folder import RunFolder
from tfcdr.runs.stage_run import StageRun
from tfcdr.stage import Stage
from tfcdr.stage_model import MODEL_OPTIMIZER, StageModel, StepReport

USERS, BATCH = 7, 3  # the last batch has one row and two that fill it up
VIEW = ViewRequest("numbers", {})
STAGE = Stage(name="fit", training=VIEW, evaluation=VIEW, batch_size=BATCH, epochs=4, patience=4)


class Mean(StageModel):
    """Learns a number and, for the size of its checkpoint, a vector."""

    def __init__(self, size=2):
        super().__init__(name="mean")
        self.center = self.add_weight("center", (), initializer="zeros")
        self.vector = self.add_weight("vector", (size,), initializer="ones")
        self.built = True
        self.traces = 0

    @property
    def batch_spec(self):
        return {"number": tf.TensorSpec([None], tf.float32)}

    def compute_losses(self, batch):
        self.traces += 1
        errors = tf.square(batch["number"] - self.center * self.vector[0])
        return StepReport({"loss": weighted_mean(errors, batch["example_weight"])})


class Numbers(EpochByEpoch):
    """Numbers in an order that depends on seed and epoch; one of them may be infinite once."""

    fingerprint = "numbers"

    def __init__(self, infinite=None):
        self.infinite = infinite

    def num_examples(self, view, split, **options):
        return USERS

    def user_names(self, users):
        return [f"user {chr(int(user) + 86)}" for user in users]

    def batches(self, view, split, *, batch_size, seed, epoch, rows=None, shuffled=True):
        order = np.arange(USERS)
        if shuffled:
            order = np.random.default_rng([seed, epoch]).permutation(USERS)
        arrays = {
            "number": np.arange(1.0, USERS + 1)[order],
            "user": np.arange(11, USERS + 11)[order],
            "example_weight": np.ones(USERS),
        }
        if self.infinite is not None and self.infinite[0] == epoch:
            arrays["number"][self.infinite[1]] = np.inf
        for key, values in arrays.items():
            filled = np.concatenate([values, np.zeros(-USERS % batch_size)])
            arrays[key] = filled.astype(np.int32 if key == "user" else np.float32)
        return tf.data.Dataset.from_tensor_slices(arrays).batch(batch_size)


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path)
    folder.claim({})
    return folder


def make(folder, stage=STAGE, data=None, size=2, jit_compile=False):
    model = Mean(size)
    model.compile({MODEL_OPTIMIZER: optimizers.adam(0.1)}, jit_compile=jit_compile)
    return StageRun(stage, model, data or Numbers(), folder, seed=5, monitor="score")


def nearness(model):
    return {"score": -abs(float(model.center) - 4.0)}


def scripted(scores, centers=None):
    """Validates by a list of scores; notes the weights that each score was given to."""
    left = iter(scores)

    def validate(model):
        if centers is not None:
            centers.append(float(model.center))
        return {"score": next(left)}

    return validate


def lines(folder):
    """Returns the epochs without what only the clock decides."""
    timed = ("seconds", "examples_per_second")
    return [
        {key: value for key, value in line.items() if key not in timed}
        for line in folder.epochs("fit")
    ]


def outcome(folder, run):
    return (
        lines(folder),
        run.model.get_weights(),
        [v.numpy() for v in run.model.optimizer.variables],
    )


def assert_same(first, second):
    assert first[0] == second[0]
    for part in (1, 2):
        for left, right in zip(first[part], second[part], strict=True):
            np.testing.assert_array_equal(left, right)


@pytest.fixture
def uninterrupted(tmp_path):
    folder = RunFolder(tmp_path / "uninterrupted")
    folder.claim({})
    run = make(folder)
    run.train(nearness)
    return outcome(folder, run)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_resumed_run_ends_like_one_that_never_stopped(folder, uninterrupted, epochs):
    make(folder, dataclasses.replace(STAGE, epochs=epochs)).train(nearness)
    assert len(lines(folder)) == epochs
    resumed = make(folder)
    resumed.train(nearness)
    assert_same(outcome(folder, resumed), uninterrupted)


@pytest.mark.parametrize("moment", ["validation", "best checkpoint", "line", "latest checkpoint"])
def test_killed_at_any_moment_loses_at_most_an_epoch(folder, uninterrupted, moment, monkeypatch):
    """Killed in epoch 3, just before or after something is written."""
    run = make(folder)

    def kill_at_third(call):
        calls = []

        def wrapped(*arguments, **options):
            calls.append(arguments)
            result = call(*arguments, **options)
            if len(calls) == 3:
                raise Killed
            return result

        return wrapped

    validate = kill_at_third(nearness) if moment == "validation" else nearness
    if moment == "best checkpoint":
        monkeypatch.setattr(run._best, "save", kill_at_third(run._best.save))
    if moment == "line":
        monkeypatch.setattr(RunFolder, "add_epoch", kill_at_third(RunFolder.add_epoch))
    if moment == "latest checkpoint":
        monkeypatch.setattr(run._latest, "save", kill_at_third(run._latest.save))
    with pytest.raises(Killed):
        run.train(validate)
    monkeypatch.undo()
    resumed = make(folder)
    resumed.train(nearness)
    assert_same(outcome(folder, resumed), uninterrupted)


def test_finished_stage_trains_no_more(folder):
    make(folder).train(nearness)
    again = make(folder)
    again.train(scripted([]))
    assert again.model.traces == 0
    assert len(lines(folder)) == 4


def test_batches_change_with_the_epoch_and_the_seed_decides(folder, tmp_path):
    make(folder).train(nearness)
    losses = [line["loss"] for line in lines(folder)]
    assert len(set(losses)) == len(losses)
    other = RunFolder(tmp_path / "other")
    other.claim({})
    make(other).train(nearness)
    assert [line["loss"] for line in lines(other)] == losses


@pytest.mark.parametrize(
    ("scores", "patience", "epochs", "best"),
    [
        ([1, 3, 3, 2, 9, 9], 2, 4, 2),  # a tie is nothing better
        ([1, 3, 2, 4, 3, 3], 2, 6, 4),
        ([3, 2, 9, 9, 9, 9], 1, 2, 1),
        ([1, 2, 3, 4, 5, 6], 1, 6, 6),
        ([float("nan"), 1, float("nan"), 0.5, 2, 1], 9, 6, 5),
        ([1, float("inf"), 2, 0, 0, 0], 9, 6, 3),  # not finite is not good
    ],
)
def test_stops_early_and_restores_the_best_epoch(folder, scores, patience, epochs, best):
    stage = dataclasses.replace(STAGE, epochs=6, patience=patience)
    run, centers = make(folder, stage), []
    run.train(scripted(scores, centers))
    assert len(centers) == epochs
    assert float(run.model.center) == centers[best - 1]
    assert run.summary()["epochs"] == epochs
    assert run.summary()["best_epoch"] == best


def test_stopped_stage_stays_stopped_when_resumed(folder):
    stage = dataclasses.replace(STAGE, epochs=6, patience=1)
    make(folder, stage).train(scripted([3, 2]))
    again = make(folder, stage)
    again.train(scripted([]))
    assert again.summary()["best_epoch"] == 1


def test_infinite_loss_names_step_and_users_and_keeps_the_last_good_checkpoint(folder):
    # Epoch 2, step 2 holds rows 3 to 5 of that epoch's order.
    data = Numbers(infinite=(1, 4))
    users = next(iter(data.batches("", "", batch_size=BATCH, seed=5, epoch=1).skip(1)))["user"]
    shown = ", ".join(data.user_names(users))
    with pytest.raises(RunError) as raised:
        make(folder, data=data).train(nearness)
    message = str(raised.value)
    assert "stage fit, epoch 2, step 2: the loss is not finite" in message
    assert f"Users of the batch: {shown}." in message
    assert "\n" not in message
    assert [line["epoch"] for line in lines(folder)] == [1]
    kept = tf.train.latest_checkpoint(folder.checkpoints("fit", "latest"))
    assert np.isfinite(
        tf.train.load_checkpoint(kept).get_tensor("model/center/.ATTRIBUTES/VARIABLE_VALUE")
    )


def test_after_mended_data_the_run_goes_on(folder, uninterrupted):
    with pytest.raises(RunError):
        make(folder, data=Numbers(infinite=(2, 0))).train(nearness)
    resumed = make(folder)
    resumed.train(nearness)
    assert_same(outcome(folder, resumed), uninterrupted)


class Overflow(Mean):
    """Has a finite loss whose gradient is not finite."""

    def compute_losses(self, batch):
        # The root's slope at 0 is infinite.
        loss = super().compute_losses(batch).losses["loss"]
        return StepReport({"loss": tf.sqrt(self.center * 0.0) + loss})


def test_weights_that_are_not_finite_never_become_a_checkpoint(folder):
    stage = dataclasses.replace(STAGE, batch_size=USERS)  # one step: no loss follows the update
    model = Overflow()
    model.compile({MODEL_OPTIMIZER: optimizers.adam(0.1)})
    run = StageRun(stage, model, Numbers(), folder, seed=5, monitor="score")
    with pytest.raises(RunError, match=r"stage fit, epoch 1: .*center:0 is not; lower"):
        run.train(nearness)
    assert lines(folder) == []
    assert tf.train.latest_checkpoint(folder.checkpoints("fit", "latest")) is None


@pytest.mark.parametrize("kind", ["latest", "best"])
def test_checkpoint_of_another_shape_is_one_line(folder, kind):
    make(folder, dataclasses.replace(STAGE, epochs=1)).train(nearness)
    run = make(folder, size=3)
    with pytest.raises(RunError, match=f"{kind}.*does not fit the model") as raised:
        run.restore_best() if kind == "best" else run.train(nearness)
    assert "\n" not in str(raised.value)


class Parts(Mean):
    """Has a list of parts, which a checkpoint knows by their places."""

    def __init__(self, parts):
        super().__init__()
        self.parts = [
            self.add_weight(f"part{number}", (), initializer="zeros") for number in range(parts)
        ]


def parts_run(folder, parts):
    model = Parts(parts)
    model.compile({MODEL_OPTIMIZER: optimizers.adam(0.1)})
    stage = dataclasses.replace(STAGE, epochs=1)
    return StageRun(stage, model, Numbers(), folder, seed=5, monitor="score")


@pytest.mark.parametrize("parts", [2, 4])
@pytest.mark.parametrize("kind", ["latest", "best"])
def test_checkpoint_that_holds_less_or_more_is_one_line(folder, kind, parts):
    parts_run(folder, 3).train(nearness)
    run = parts_run(folder, parts)
    with pytest.raises(RunError, match=f"{kind}.*does not fit the model") as raised:
        run.restore_best() if kind == "best" else run.train(nearness)
    assert "\n" not in str(raised.value)
    parts_run(folder, 3).restore_best()


@pytest.mark.parametrize("suffix", ["index", "data-00000-of-00001"])
@pytest.mark.parametrize("damage", ["truncated", "missing", "overwritten"])
def test_damaged_checkpoint_is_one_line(folder, suffix, damage):
    make(folder, dataclasses.replace(STAGE, epochs=1)).train(nearness)
    (path,) = pathlib.Path(folder.checkpoints("fit", "latest")).glob(f"*.{suffix}")
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(RunError, match="damaged") as raised:
        make(folder).train(nearness)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kind", ["latest", "best"])
def test_a_damaged_list_of_checkpoints_does_not_start_the_run_anew(folder, kind):
    stage = dataclasses.replace(STAGE, epochs=1)
    make(folder, stage).train(nearness)
    path = pathlib.Path(folder.checkpoints("fit", kind), "checkpoint")
    whole = path.read_bytes()
    # The empty one is what a power cut leaves.
    for content in (whole[:15], b"", bytes(len(whole)), b'{"a": [1]}', None):
        path.unlink()
        path.write_bytes(content) if content is not None else path.mkdir()
        with pytest.raises(RunError, match="checkpoint: damaged, so that no checkpoint is found"):
            make(folder, stage).train(nearness)
    assert len(lines(folder)) == 1


def test_no_best_checkpoint_says_train_first(folder):
    with pytest.raises(RunError, match="no checkpoint of stage fit; train first"):
        make(folder).restore_best()


def test_only_the_newest_checkpoints_are_kept(folder):
    make(folder).train(nearness)
    for kind in ("latest", "best"):
        kept = pathlib.Path(folder.checkpoints("fit", kind)).glob("*.index")
        assert len(list(kept)) == 1


def test_batches_of_another_view_are_refused(folder):
    class Wishful(Mean):
        @property
        def batch_spec(self):
            return {"context": tf.TensorSpec([None, None], tf.int32)}

    model = Wishful()
    model.compile({MODEL_OPTIMIZER: optimizers.adam(0.1)})
    with pytest.raises(RunError, match="'context'"):
        StageRun(STAGE, model, Numbers(), folder, 5, "score").train(nearness)
    assert lines(folder) == []


def test_nothing_is_compiled_after_the_first_epoch(folder, jit_compile):
    run, traces = make(folder, jit_compile=jit_compile), []

    def validate(model):
        traces.append(model.traces)
        return nearness(model)

    run.train(validate)
    assert traces[0] > 0
    assert len(set(traces)) == 1  # the padded last batch included


def test_filling_rows_do_not_train(folder, tmp_path, jit_compile):
    """One batch of all seven users gives the same step as one of eight rows."""
    centers = []
    for batch_size in (USERS, USERS + 1):
        other = RunFolder(tmp_path / str(batch_size))
        other.claim({})
        stage = dataclasses.replace(STAGE, batch_size=batch_size, epochs=2)
        run = make(other, stage, jit_compile=jit_compile)
        run.train(nearness)
        centers.append(float(run.model.center))
    assert centers[0] == pytest.approx(centers[1], rel=1e-6)


def test_every_epoch_is_written_down(folder):
    make(folder).train(nearness)
    for number, line in enumerate(folder.epochs("fit"), start=1):
        assert line["epoch"] == number
        assert line["stage"] == "fit"
        assert set(line["validation"]) == {"score"}
        assert line["seconds"] > 0
        assert line["examples_per_second"] >= 0


def test_epoch_loss_is_the_mean_over_steps(folder):
    class Constant(Mean):
        def compute_losses(self, batch):
            # 2 in the first step, 3 in the second, 4 in the third of every epoch.
            step = tf.cast(self.optimizer.iterations % 3, tf.float32)
            return StepReport({"loss": 2.0 + step + 0.0 * self.center})

    model = Constant()
    model.compile({MODEL_OPTIMIZER: optimizers.adam(0.1)})
    StageRun(STAGE, model, Numbers(), folder, 5, "score").train(nearness)
    assert [line["loss"] for line in lines(folder)] == pytest.approx([3.0] * 4)


class Watched(Mean):
    """Has a figure of every step, and one that is known at the end of an epoch alone."""

    def compute_losses(self, batch):
        losses, _ = super().compute_losses(batch)
        return StepReport(losses, {"center": self.center + 0.0})

    def epoch_figures(self):
        return {"last_center": float(self.center)}


def watched(folder, read_losses_every=2):
    model = Watched()
    model.compile({MODEL_OPTIMIZER: optimizers.adam(0.1)})
    return StageRun(
        STAGE, model, Numbers(), folder, 5, "score", read_losses_every=read_losses_every
    )


def test_figures_stand_apart_from_losses(folder):
    run = watched(folder)
    run.train(nearness)
    written = folder.epochs("fit")
    assert all(set(line["figures"]) == {"center", "last_center"} for line in written)
    assert all("center" not in line for line in written)
    # A step's figure is that before its update: the first of the first epoch is 0.
    assert 0 < written[0]["figures"]["center"] < written[0]["figures"]["last_center"]


def test_how_often_losses_are_read_changes_nothing(folder, tmp_path):
    watched(folder, read_losses_every=1).train(nearness)
    other = RunFolder(tmp_path / "other")
    other.claim({})
    watched(other, read_losses_every=100).train(nearness)
    assert lines(folder) == lines(other)


def tensors(folder, kind):
    path = tf.train.latest_checkpoint(folder.checkpoints("fit", kind))
    return {name for name, _ in tf.train.list_variables(path)}


def test_the_best_checkpoint_holds_weights_alone_and_the_latest_every_optimizer(folder):
    make(folder).train(nearness)
    about_itself = {"_CHECKPOINTABLE_OBJECT_GRAPH", "save_counter/.ATTRIBUTES/VARIABLE_VALUE"}
    weights = {f"model/{name}/.ATTRIBUTES/VARIABLE_VALUE" for name in ("center", "vector")}
    assert tensors(folder, "best") == weights | about_itself
    latest = tensors(folder, "latest")
    assert weights < latest
    assert "optimizers/model/_iterations/.ATTRIBUTES/VARIABLE_VALUE" in latest


def test_a_score_that_is_no_number_does_not_break_a_resume(folder):
    stage = dataclasses.replace(STAGE, epochs=2)
    make(folder, stage).train(scripted([float("nan"), float("nan")]))
    resumed, centers = make(folder), []
    resumed.train(scripted([float("nan"), 1.0], centers))
    assert resumed.summary()["best_epoch"] == 4
    assert float(resumed.model.center) == centers[1]
    again = make(folder)
    again.train(scripted([]))
    assert again.summary()["best_epoch"] == 4


def test_tensorboard_gets_losses_figures_and_metrics_of_every_epoch(folder):
    watched(folder).train(nearness)
    (file,) = pathlib.Path(folder.tensorboard("fit")).iterdir()
    seen = {}
    for record in tf.data.TFRecordDataset(str(file)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        for value in event.summary.value:
            seen.setdefault(value.tag, []).append(event.step)
    assert set(seen) == {"loss", "center", "last_center", "score"}
    assert all(steps == [1, 2, 3, 4] for steps in seen.values())


@pytest.mark.parametrize("name", ["tensorboard", "checkpoints"])
def test_what_cannot_be_written_is_named_in_plain_words(folder, name):
    (folder.path / name).write_text("")  # A file where a folder must be.
    with pytest.raises(RunError, match=rf"{name}/fit.*: cannot be written \(") as failed:
        make(folder).train(nearness)
    assert "function_node" not in str(failed.value)
    assert "[Op:" not in str(failed.value)
