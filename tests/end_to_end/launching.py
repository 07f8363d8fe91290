"""Calls launchers as a person does and says what came of it."""

import contextlib
import io
import os
import pathlib
import signal
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from absl import flags
from absl.testing import flagsaver

from launchers import convert, program, train, tune
from tests.end_to_end.warm_process import WarmProcess

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = {
    "convert": convert.main,
    "train": train.main,
    "tune": tune.main,
}

# A demo log of 150 users and a network of one block: seconds in all.
SMALL_DATA = (
    "--reader=synthetic",
    "--synthetic.users=150",
    "--synthetic.source_items=60",
    "--synthetic.target_items=50",
    "--synthetic.interests=6",
)
# How runs read it.
SMALL_READING = ("--target=target", "--examples.cold_share=0.1", "--examples.max_length=10")
SMALL_RUN = (
    *SMALL_READING,
    "--evaluation.negatives=20",
    "--peterrec.channels=16",
    "--peterrec.dilations=1",
    "--peterrec.pretrain_epochs=1",
    "--peterrec.finetune_epochs=1",
    "--peterrec.pretrain_batch_size=64",
    "--peterrec.finetune_batch_size=64",
)
SMALL_TIMIREC_RUN = (
    "--system=timirec",
    *SMALL_READING,
    "--evaluation.negatives=20",
    "--timirec.embedding_size=8",
    "--timirec.interests=3",
    "--timirec.pretrain_epochs=1",
    "--timirec.finetune_epochs=2",
    "--timirec.pretrain_batch_size=64",
    "--timirec.finetune_batch_size=64",
    "--timirec.pretrain_learning_rate=0.02",
    "--timirec.finetune_learning_rate=0.02",
    "--nojit_compile",
    "--report",
    "--export",
)
SMALL_IMPRESSIONS = (
    "--reader=synthetic",
    "--impression_split.target=target",
    "--impression_split.positive_rate=0.5",
    "--impression_split.negative_rate=0.5",
    "--impression_split.validation_share=0.3",
    "--synthetic_impressions.source_pages=150",
    "--synthetic_impressions.target_pages=150",
    "--synthetic_impressions.test_pages=60",
    "--synthetic_impressions.conversion_share=0.4",
)
SMALL_DAA_RUN = (
    "--system=daa",
    "--daa.backbone=mmoe",
    "--daa.experts=2",
    "--daa.embedding_size=4",
    "--daa.bottom_widths=16,8",
    "--daa.tower_widths=8",
    "--daa.critic_hidden=8",
    "--daa.critic_steps=2",
    "--daa.source_batch_size=64",
    "--daa.adapt_batch_size=64",
    "--daa.source_epochs=2",
    "--daa.adapt_epochs=2",
    "--nojit_compile",
)
SMALL_BIAO_RUN = (
    "--system=biao",
    "--target=target",
    "--examples.max_length=6",
    "--biao.embedding_size=4",
    "--biao.hidden_widths=8,4",
    "--biao.batch_size=64",
    "--biao.developing_batch_size=64",
    "--biao.interval=4",
    "--biao.descent_steps=2",
    "--biao.epochs=2",
    "--nojit_compile",
)


class Outcome(NamedTuple):
    """What a program left on the terminal; negative status: killed by that signal."""

    status: int
    out: str
    err: str

    @property
    def error(self):
        """The one line that a mistake gives."""
        assert "Traceback" not in self.err, self.err
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.err
        return lines[0]


def call(name, *arguments):
    """Runs one of `PROGRAMS` in this process."""
    out, err = (io.TextIOWrapper(io.BytesIO(), write_through=True) for _ in range(2))
    argv = [f"{name}.py", *map(str, arguments)]
    status = 0
    with (
        flagsaver.flagsaver(),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        replaced_argv(argv),
        restored_signals(),
    ):
        try:
            program.run(PROGRAMS[name])
        except SystemExit as end:
            status = end.code or 0
        finally:
            flags.FLAGS.unparse_flags()
    return Outcome(status, *(stream.buffer.getvalue().decode() for stream in (out, err)))


@contextlib.contextmanager
def replaced_argv(argv):
    before, sys.argv = sys.argv, argv
    try:
        yield
    finally:
        sys.argv = before


@contextlib.contextmanager
def restored_signals():
    """Gives pytest back what it does at signals, however the program in the body ends."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def start(name, *arguments, code=None, new_interpreter=False, template=0, **environment):
    """Starts a launcher as a process of its own.

    Args:
      name: of the launcher.
      *arguments: of the command line.
      code: runs instead of the script, if given.
      new_interpreter: as a person starts it; else forked from one that has imported TensorFlow,
        which saves five seconds.
      template: number of the process that is forked; each has a hash seed of its own.
      **environment: variables besides this process's.
    """
    script = "-c" if code else f"launchers/{name}.py"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), **environment}
    if not new_interpreter:
        argv = [script, *arguments]
        return WarmProcess(
            argv, code=code, folder=REPOSITORY, environment=environment, template=template
        )
    return subprocess.Popen(
        [sys.executable, script, *([code] if code else []), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env=environment,
        start_new_session=True,
    )


def finish(process, seconds=300):
    """Waits for a process of `start`."""
    try:
        out, err = process.communicate(timeout=seconds)
    finally:
        process.kill()
    return Outcome(process.returncode, out, err)


def forked(name, *arguments, code=None):
    """Runs a launcher as a process of its own."""
    return finish(start(name, *arguments, code=code))


def script(name, *arguments):
    """Runs a launcher as a person does: by a new interpreter."""
    return finish(start(name, *arguments, new_interpreter=True))


def checkpoint(workdir, stage, kind="best"):
    """The tensors of a stage's checkpoint by name."""
    path = tf.train.latest_checkpoint(str(workdir / "checkpoints" / stage / kind))
    reader = tf.train.load_checkpoint(path)
    names = set(reader.get_variable_to_shape_map()) - {"_CHECKPOINTABLE_OBJECT_GRAPH"}
    return {name: reader.get_tensor(name) for name in sorted(names)}


def differing(first, second):
    """Names of the tensors whose bits differ between two checkpoints."""
    assert first.keys() == second.keys()
    return {name for name in first if not np.array_equal(first[name], second[name])}


def files(folder):
    """Paths of all files below a folder with their contents; empty if there is no folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(pathlib.Path(folder).rglob("*"))
        if path.is_file()
    }
