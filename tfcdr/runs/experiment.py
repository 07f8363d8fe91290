"""A run from prepared data to final figures: every stage of a system, then the test."""

import contextlib
import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfcdr import bar_gain
from tfcdr.data_source import DataSource
from tfcdr.distribution.one_device import ONE_DEVICE, Distribution
from tfcdr.errors import RunError
from tfcdr.fitted_model import FittedModel
from tfcdr.report_section import Names, Section, ShownUser
from tfcdr.runs.pretrained_run import PretrainedRun
from tfcdr.runs.run_folder import RunFolder
from tfcdr.runs.stage_run import StageRun, Watch, unwatched
from tfcdr.runs.stage_screen import clock
from tfcdr.runs.step_log import READ_LOSSES_EVERY
from tfcdr.stage import Stage
from tfcdr.stage_model import StageModel
from tfcdr.system import System
from tfcdr.transfer_gain import TransferGain


class Experiment:
    """One system with one configuration on one data set, in one folder."""

    def __init__(
        self,
        *,
        system: System,
        config: Any,
        data: DataSource,
        folder: RunFolder,
        options: Any,
        seed: int,
        jit_compile: bool,
        distribution: Distribution = ONE_DEVICE,
        mixed_precision: bool = False,
        read_losses_every: int = READ_LOSSES_EVERY,
        pretrained: PretrainedRun | None = None,
    ) -> None:
        """Creates the experiment.

        Args:
          system: from the registry.
          config: an instance of `system.config_class`.
          data: a prepared data set.
          folder: where the run's files go; claimed by the caller.
          options: an instance of `system.evaluation_options`.
          seed: of weights, batches and draws.
          jit_compile: whether train steps are compiled by XLA.
          distribution: the devices and processes that train.
          mixed_precision: whether layers compute in float16; weights are float32 in any case.
          read_losses_every: steps between two readings of the losses from the device.
          pretrained: the run that this one starts from, if there is one.
        """
        self._system = system
        self._config = config
        self._data = data
        self._folder = folder
        self._evaluator = system.evaluator(data, options, distribution)
        self._seed = seed
        self._jit_compile = jit_compile
        self._distribution = distribution
        self._mixed_precision = mixed_precision
        self._read_losses_every = read_losses_every
        self._pretrained = pretrained
        self._stages = system.stages(config)
        self._test_scores: Any = None  # of the best model, once they are known

    def check_data(self) -> None:
        """Opens every split of every stage, so that what the data lacks is known at once.

        Raises:
          RunError: the configuration does not fit the data or the devices, or the pre-trained run
            does not fit it.
          ValueError: of the data's own kind: a view, a split or a file is missing or damaged, or
            the data cannot give what the configuration asks for.
        """
        _ = self._taken_models
        self._system.check(self._config, self._data, self._distribution)
        for stage in self._stages:
            self._distribution.check_stage(stage)
            requests = [(stage.training, stage.batch_size)] if stage.training else []
            requests += [(feed.request, feed.batch_size) for feed in stage.feeds]
            for request, batch_size in requests:
                request.batches(self._data, "train", batch_size, self._seed)
            self._evaluator.check_data(stage, "validation")
        self._evaluator.check_data(self._stages[-1], "test")
        if self._pretrained is not None and self._pretrained.data is not None:
            for stage in self._stages:
                self._start(stage, self._stage_run(stage, self._folder).model)

    def run(self) -> dict[str, Any]:
        """Runs or resumes every stage, evaluates, and writes metrics.json.

        Returns:
          What metrics.json holds: see `evaluate`, and "stages" with the training of each stage; if
          a stage before the last validated better, its name as "served_stage", whose model all
          figures are of.

        Raises:
          RunError: see `StageRun.train`.
        """
        model, stages = self.train()
        metrics: dict[str, Any] = {"stages": stages}
        served = self._served_stage()
        if served is not self._stages[-1]:
            monitor = self._evaluator.monitor
            better, last = (
                stages[of.name]["validation"][monitor] for of in (served, self._stages[-1])
            )
            print(
                f"{self._stages[-1].name} did not improve on {served.name} (validation {monitor} "
                f"{last:.4f} against {better:.4f}): the run keeps the model of {served.name}."
            )
            metrics["served_stage"] = served.name
            model = self._model_of(served, self._folder)
        metrics |= self.evaluate(model)
        measured = self._system.measurements(self._config, model, self._data)
        if measured:
            metrics["measurements"] = dict(measured)
        self._folder.finish(metrics)
        return metrics

    def train(self, watch: Watch = unwatched) -> tuple[StageModel, dict[str, Any]]:
        """Runs or resumes every stage.

        Args:
          watch: is called behind every epoch; see `StageRun.train`.

        Returns:
          The last stage's model at its best epoch, and the training of each stage.

        Raises:
          RunError: see `StageRun.train`.
        """
        trained, stages, previous = {}, self._stages, self._taken_models
        if self._taken_over is not None:
            stages = stages[-1:]
            for stage in self._stages[:-1]:
                for folder in self._taken_over.folders:
                    print(f"{stage.name}: taken from {folder.path}")
        for stage in stages:
            stage_run = self._stage_run(stage, self._folder)
            place = self._place(stage)
            print(
                f"{place}{', ' if place else ''}{stage.name}: "
                f"{_describe_parameters(stage_run.model)}"
            )
            if said := self._start(stage, stage_run.model):
                print(said)
            if stage.takes > 1:
                self._system.warm_start_of_seeds(stage_run.model, previous)
            elif previous:
                self._system.warm_start(stage_run.model, previous[0])
            stage_run.train(functools.partial(self._evaluator.validation, stage), watch)
            trained[stage.name] = stage_run.summary()
            print(self._describe_training(stage, trained[stage.name]))
            model = stage_run.model
            previous = [model]
        return model, trained

    def _place(self, stage: Stage) -> str:
        """Says which of several stages one is."""
        count = len(self._stages)
        return f"stage {self._stages.index(stage) + 1} of {count}" if count > 1 else ""

    def _describe_training(self, stage: Stage, summary: dict[str, Any]) -> str:
        monitor = self._evaluator.monitor
        score = summary["validation"].get(monitor)
        shown = "" if score is None else f" with validation {monitor} {score:.4f}"
        return (
            f"{stage.name}: best epoch {summary['best_epoch']} of {summary['epochs']}{shown}, "
            f"{clock(summary['seconds'])}"
        )

    def best_model(self) -> StageModel:
        """Rebuilds the run's model with the weights of its best epoch.

        It is the last stage's, unless a stage before validated better.

        Raises:
          RunError: the run has no such checkpoint, or it does not fit.
        """
        return self._model_of(self._served_stage(), self._folder)

    def evaluate(self, model: StageModel) -> dict[str, Any]:
        """Scores the validation and the test examples of the last stage.

        Args:
          model: the run's best.

        Returns:
          "validation" and "test": the evaluator's headline; "tables": its table for each split;
          "bars": the test's gain over each bar, by group of rows, if there are bars.
        """
        headlines, tables, bars = {}, {}, {}
        for split in ("validation", "test"):
            scores = self.scores(model, split)
            headlines[split] = self._evaluator.headline(scores)
            tables[split] = self._evaluator.table(scores)
            if split == "test":
                self._test_scores = scores
                bars = self._evaluator.bar_gains(scores, self._seed)
        found = {**headlines, "tables": tables}
        if bars:
            found["bars"] = {
                bar: {group: gain._asdict() for group, gain in of_groups.items()}
                for bar, of_groups in bars.items()
            }
        return found

    def beyond_accuracy(
        self, model: StageModel, split: str
    ) -> dict[tuple[str, str], dict[str, float]]:
        """Measures what is recommended in the last stage; see `Evaluator.beyond_accuracy`."""
        return self._evaluator.beyond_accuracy(self._stages[-1], model, split)

    def scores(self, model: StageModel, split: str) -> Any:
        """Scores a split of the last stage; see `Evaluator.scores`."""
        return self._evaluator.scores(self._stages[-1], model, split)

    def print_tables(self, metrics: dict[str, Any]) -> None:
        """Prints the tables of `evaluate`, and what they say of the model and its bars."""
        for split, rows in metrics["tables"].items():
            print(f"\n{split}\n{self._evaluator.format_table(rows)}")
        lines = bar_gain.lines(metrics.get("bars", {}))
        if lines:
            print("", *lines, sep="\n")

    def transfer_gains(self, baseline: "Experiment") -> dict[str, TransferGain]:
        """Compares the best model with that of a finished run without transfer, on the test.

        Returns:
          The gain by group of test rows, `row_groups.ALL` among them.
        """
        ours, others = (run._scores_of_best() for run in (self, baseline))
        return self._evaluator.transfer_gains(ours, others, self._seed)

    def _scores_of_best(self) -> Any:
        """Returns the scores of the test; of a run that was finished before, it is scored again."""
        if self._test_scores is None:
            self._test_scores = self.scores(self.best_model(), "test")
        return self._test_scores

    def validation_scores(self) -> list[float]:
        """Returns the finished epochs' scores of the stages whose validation is the last one's."""
        return [score for of_stage in self._comparable_scores().values() for score in of_stage]

    def _served_stage(self) -> Stage:
        """Returns the stage that validated best among those that validate on the same examples."""
        best = {name: max(of, default=-math.inf) for name, of in self._comparable_scores().items()}
        last = self._stages[-1]
        if best[last.name] == -math.inf or best[last.name] >= max(best.values()):
            return last
        return max(self._stages, key=lambda stage: best.get(stage.name, -math.inf))

    def _comparable_scores(self) -> dict[str, list[float]]:
        scores = {}
        for stage in self._stages[-1:] if self._taken_over else self._stages:
            if stage.evaluation == self._stages[-1].evaluation:
                lines = [line["validation"] for line in self._folder.epochs(stage.name)]
                of_stage = [line[self._evaluator.monitor] for line in lines]
                scores[stage.name] = [score for score in of_stage if score is not None]
        return scores

    def report_sections(self, model: StageModel, names: Names) -> Sequence[Section]:
        """Returns what the system adds to the run's page; see `System.report_sections`."""
        return self._system.report_sections(self._config, model, self._data, names)

    def shown_users(self, model: StageModel, names: Names, number: int) -> Sequence[ShownUser]:
        """Returns test users of the last stage; see `Evaluator.shown_users`."""
        return self._evaluator.shown_users(self._stages[-1], model, names, number)

    @property
    def _taken_over(self) -> PretrainedRun | None:
        """The pre-trained run, if it stands for all stages but the last."""
        found = self._pretrained
        return None if found is None or found.data is not None else found

    def _start(self, stage: Stage, model: StageModel) -> str | None:
        """Gives a stage's new model the weights of its best epoch in a run on other data.

        Returns:
          What it starts from; None if the run starts from no such run.

        Raises:
          RunError: that run does not fit this one.
        """
        run = self._pretrained
        if run is None or run.data is None:
            return None
        if stage.is_fitted and stage is not self._stages[0]:
            return f"{stage.name}: is fitted anew"
        run.check_system(self._system.name)
        if not run.folder.has_checkpoint(stage.name):
            return f"{stage.name}: starts afresh, {run.folder.path} has no such stage"
        rows = self._system.named_rows(self._config, model, self._data)
        with run.naming_differences(self._config):
            previous = self._model_of(stage, run.folder, run.data)
        previous_rows = self._system.named_rows(self._config, previous, run.data)
        said = run.start(self._config, model, rows, previous, previous_rows)
        return f"{stage.name}: {said}"

    @functools.cached_property
    def _taken_models(self) -> list[StageModel]:
        """The pre-trained run's model, or those of its seeds, that the last stage starts from.

        Empty if no run stands for the stages before.

        Raises:
          RunError: the run cannot stand for them, or there must be one.
        """
        run, takes = self._taken_over, self._stages[-1].takes
        if run is None:
            if takes == 1:
                return []
            raise RunError(
                f"stage {self._stages[-1].name} takes the models of {takes} seeds, trained before "
                f"on these data: train the stages before it with --seeds={takes}, and name the "
                "folder of these runs by --pretrained."
            )
        if len(self._stages) == 1:
            raise RunError(
                f"{run.folder.path}: the configuration has the stage {self._stages[0].name} alone, "
                "which takes nothing over from a pre-trained run."
            )
        run.check_system(self._system.name)
        taken = self._stages[-2]
        for folder in run.folders:
            kept = (folder.metrics() or {}).get("served_stage")
            if self._stages[-1].is_fitted and kept not in (None, taken.name):
                raise RunError(
                    f"{folder.path}: the run has kept its model of {kept}, which validated better, "
                    f"where stage {self._stages[-1].name} takes that of {taken.name}; ask for the "
                    f"stages up to {kept} alone."
                )
        with run.naming_differences(self._config):
            return [self._model_of(taken, each) for each in run.folders]

    def _model_of(
        self, stage: Stage, folder: RunFolder, data: DataSource | None = None
    ) -> StageModel:
        """Rebuilds the model of a stage with the weights of its best epoch in a run.

        Args:
          stage: one of this configuration's.
          folder: of the run.
          data: what it has read, if it is other data.
        """
        stage_run = self._stage_run(stage, folder, data)
        stage_run.restore_best()
        return stage_run.model

    def _stage_run(
        self, stage: Stage, folder: RunFolder, data: DataSource | None = None
    ) -> StageRun:
        """Builds a stage's model, of this run's data or of other data, and what trains it."""
        # Each stage starts from a seed of its own, so that a resumed run, which skips the stages
        # before, draws the same initial weights.
        tf.keras.utils.set_random_seed(self._seed + 1000 * self._stages.index(stage))
        with self._distribution.scope(), _dtype_policy(self._mixed_precision):
            model = self._system.build(stage.name, self._config, data or self._data, self._seed)
            optimizers = self._system.optimizers(stage.name, self._config)
            model.compile(optimizers, jit_compile=self._jit_compile)
        return StageRun(
            stage,
            model,
            self._data,
            folder,
            self._seed,
            self._evaluator.monitor,
            self._distribution,
            self._read_losses_every,
            self._place(stage),
            [later.name for later in self._stages[self._stages.index(stage) + 1 :]],
        )


def enable_determinism() -> None:
    """Makes every operation give the same bits in every run on one machine; call it first."""
    tf.config.experimental.enable_op_determinism()


@contextlib.contextmanager
def _dtype_policy(mixed_precision: bool) -> Iterator[None]:
    """A body in which layers are built that compute in float16 and keep float32 weights, or not.

    Keras wraps the optimizer of a model that is compiled here so that it scales losses.
    """
    before = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy("mixed_float16" if mixed_precision else "float32")
    try:
        yield
    finally:
        tf.keras.mixed_precision.set_global_policy(before)


def _describe_parameters(model: StageModel) -> str:
    def count(variables: list[tf.Variable]) -> int:
        return int(sum(np.prod(variable.shape) for variable in variables))

    # What is fitted as a whole may hold a trained model, which stays as it is.
    trainable = 0 if isinstance(model, FittedModel) else count(model.trainable_variables)
    frozen = count(model.variables) - trainable
    return f"{trainable:,} trainable parameters, {frozen:,} frozen"
