"""A stage's periodic steps: when they come, and the place in each feed that follows from that."""

from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf

from tfcdr.data_source import DataSource
from tfcdr.runs.step_log import StepLog
from tfcdr.stage import Feed, PeriodicStep, Stage
from tfcdr.stage_model import Batch, StageModel, StepReport

# To set up what reads takes longer than to read a small pass, so that many are read as one.
_PASSES_AT_ONCE = 100


class PeriodicSteps:
    """Makes a stage's periodic steps when they are due.

    How often each has come, and with that the place of its feeds, follows from the number of train
    steps: a resumed run needs no iterator's state.

    Attributes:
      runs: each step with its feeds.
    """

    def __init__(self, stage: Stage, model: StageModel, data: DataSource, seed: int) -> None:
        """Prepares the steps; reads nothing yet.

        Args:
          stage: declares them.
          model: makes them.
          data: gives the batches.
          seed: of the batches.
        """
        self.runs = [PeriodicRun(step, model, data, seed) for step in stage.periodic_steps]

    def behind(self, step: int, steps_in_epoch: int, log: StepLog) -> None:
        """Makes the steps that come behind a train step, the stage's `step`-th from 1."""
        for run in self.runs:
            if run.step.is_due(step, steps_in_epoch):
                times = run.step.times_before(step - 1, steps_in_epoch)
                log.add_periodic(run.step.name, run.make(run.read(times)))


class PeriodicRun:
    """One periodic step: its feeds and its compiled call.

    Attributes:
      step: what the stage declares.
    """

    def __init__(self, step: PeriodicStep, model: StageModel, data: DataSource, seed: int) -> None:
        self.step = step
        self._feeds = {name: _FeedReader(feed, data, seed) for name, feed in step.feeds.items()}

        def call(feeds: dict[str, Batch]) -> StepReport:
            return model.periodic_step(step.name, feeds)

        self._call: Callable[[dict[str, Batch]], StepReport] = tf.function(
            call, jit_compile=model.jit_compile, autograph=False
        )

    def read(self, times: int) -> dict[str, Batch]:
        """Reads what the step takes when it has come `times` times before, by feed."""
        return {name: feed.take(times) for name, feed in self._feeds.items()}

    def make(self, feeds: dict[str, Batch]) -> StepReport:
        """Makes the step with what `read` gave."""
        return self._call(feeds)


class _FeedReader:
    """The batches of one feed, those of each time side by side."""

    def __init__(self, feed: Feed, data: DataSource, seed: int) -> None:
        self._feed = feed
        self._data = data
        self._seed = seed
        self._of_pass = -(-feed.request.num_examples(data, "train") // feed.batch_size)
        self._next: tuple[int, Iterator[Batch]] | None = None  # its time, and what it reads
        self._kept: dict[str, tf.Tensor] | None = None

    def take(self, times: int) -> dict[str, tf.Tensor]:
        """Returns entries [batches, batch, ...] of the time behind so many others.

        A feed that begins a pass each time has fewer batches where a pass has fewer.
        """
        feed = self._feed
        if self._kept is not None:
            return self._kept
        if feed.restarts:
            # In fixed order it is the same pass, draws included, so that it is read once, and that
            # a resumed run reads what the run before has read.
            taken = list(self._passes([times if feed.shuffled else 0]).take(feed.batches))
        else:
            if self._next is None or self._next[0] != times:
                self._next = times, self._from(times * feed.batches)
            batches = self._next[1]
            taken = [next(batches) for _ in range(feed.batches)]
            self._next = times + 1, batches
        stacked = {name: tf.stack([batch[name] for batch in taken]) for name in taken[0]}
        if feed.restarts and not feed.shuffled:
            self._kept = stacked
        return stacked

    def _from(self, place: int) -> Iterator[Batch]:
        """Iterates over pass behind pass from a batch of the first on."""
        number, skipped = divmod(place, self._of_pass)
        while True:
            following = range(number, number + _PASSES_AT_ONCE)
            yield from self._passes(following).skip(skipped)
            number, skipped = following.stop, 0

    def _passes(self, numbers: Sequence[int]) -> tf.data.Dataset:
        feed = self._feed
        return feed.request.epochs(
            self._data, "train", feed.batch_size, self._seed, numbers, shuffled=feed.shuffled
        )
