"""How often an audit is right: trainings on demo logs of which it is known what a transfer does.

| truth | with transfer | target alone |
| --- | --- | --- |
| helped | reads a source that shares the users' interests, of which few target events tell | |
| nothing | the target alone, too, from another seed: a transfer that is none | |
| hurt | reads a source of noise, which takes most places of a short history | |

A trial trains from three seeds. From one, the interval is over users alone, and two trainings that
differ in nothing but the seed differ by more than that.
"""

import contextlib
import math
import multiprocessing
import os
import pathlib
import signal
import tempfile
from collections.abc import Iterator
from typing import Any, NamedTuple

import pandas as pd

from data_pipelines.readers import synthetic
from data_pipelines.readers.synthetic import SyntheticOptions
from launchers import api
from launchers.auditing import findings
from tfcdr.transfer_gain import TransferGain

_LOG = {"users": 800, "source_items": 60, "target_items": 60, "interests": 6, "cold_users": 0.0}
_LOGS: dict[str, dict[str, Any]] = {
    "helped": {"target_length": 4, "source_length": 16, "source_persistence": 0.0},
    "nothing": {"target_length": 6},
    "hurt": {"target_length": 10, "noise_source": True, "noise_length": 40},
}
_WORDS = {"helped": "helped", "nothing": "made no measurable difference", "hurt": "HURT"}
_CONFIG = {
    "stages": "pretrain",
    "transformer_layer": False,
    "interests": 1,
    "embedding_size": 16,
    "loss": "softmax",
    "pretrain_learning_rate": 0.01,
    "pretrain_batch_size": 128,
    "pretrain_epochs": 20,
    "patience": 3,
}
_TRAININGS = 3
_OTHER_SEED = 1_000_000  # what is added for trainings without transfer that differ in it alone


class Trial(NamedTuple):
    """What an audit said of one log.

    Attributes:
      truth: "helped", "nothing" or "hurt".
      seed: of the log; trainings have three of their own.
      said: the audit's word.
      gain: over all test interactions.
      low: lower end of its 95 % interval.
      high: its upper end.
    """

    truth: str
    seed: int
    said: str
    gain: float
    low: float
    high: float

    @property
    def is_right(self) -> bool:
        """Whether the word is that of the truth."""
        return self.said == _WORDS[self.truth]


def run(number: int) -> Iterator[Trial]:
    """Makes trials side by side, a process for each core; truths take turns.

    Args:
      number: of trials.

    Yields:
      Each trial, as it ends.

    Raises:
      RunError: a training fails.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    truths = list(_WORDS)
    asked = [(truths[place % len(truths)], place // len(truths)) for place in range(number)]
    processes = min(cores or 1, number)
    # Its end, also by a signal, ends the processes.
    with multiprocessing.get_context("spawn").Pool(processes, _on_one_core) as pool:
        yield from pool.imap_unordered(_make, asked)


def _on_one_core() -> None:
    """Before TensorFlow looks for devices. An interrupt is the launcher's, which ends this."""
    os.environ |= {"CUDA_VISIBLE_DEVICES": "-1", "TF_NUM_INTRAOP_THREADS": "1"}
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _make(asked: tuple[str, int]) -> Trial:
    return make(*asked)


def make(truth: str, seed: int) -> Trial:
    """Makes one trial; see the module.

    Args:
      truth: "helped", "nothing" or "hurt".
      seed: of the log, from which those of the trainings follow.

    Raises:
      RunError: a training fails.
    """
    log = synthetic.draw(SyntheticOptions(**{**_LOG, **_LOGS[truth], "seed": seed}))
    with (
        tempfile.TemporaryDirectory() as folder,
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        gain = _audited(log, truth, seed, pathlib.Path(folder))
    return Trial(truth, seed, gain.word(), gain.gain, gain.low, gain.high)


def _audited(log: Any, truth: str, seed: int, folder: pathlib.Path) -> TransferGain:
    def train(name: str, history_domains: str, seed: int, **more: Any) -> None:
        api.train(
            folder / name,
            log,
            system="timirec",
            target=synthetic.TARGET,
            sources=synthetic.NOISE if truth == "hurt" else "source",
            config={**_CONFIG, "history_domains": history_domains},
            examples={"max_length": 8},
            evaluation={"negatives": 0},
            data_dir=folder / "data",
            seed=seed,
            **more,
        )

    runs = [f"run{training}" for training in range(_TRAININGS)]
    for training, name in enumerate(runs):
        of_training = seed * _TRAININGS + training
        if truth == "nothing":
            train(name, "target", of_training)
            train(f"{name}/no_transfer", "target", of_training + _OTHER_SEED)
        else:
            train(name, "all", of_training, compare_no_transfer=True)
    (found,) = findings.of_trainings([folder / name for name in runs], None).values()
    return found.audit.whole


def table(trials: list[Trial]) -> pd.DataFrame:
    """Returns how often the audit was right, by truth and in all."""
    rows = []
    for truth in (*_WORDS, "all"):
        of_truth = [trial for trial in trials if truth in (trial.truth, "all")]
        gains = [trial.gain for trial in of_truth]
        rows.append(
            {
                "truth": truth,
                "trials": len(of_truth),
                "right": sum(trial.is_right for trial in of_truth),
                "least gain": min(gains, default=math.nan),
                "greatest gain": max(gains, default=math.nan),
            }
        )
    return pd.DataFrame(rows)
