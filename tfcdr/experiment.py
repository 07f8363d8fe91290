"""A run from prepared data to final figures: every stage of a system, then the test."""

import contextlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfcdr import evaluation
from tfcdr.data_source import DataSource
from tfcdr.distribution.one_device import ONE_DEVICE, Distribution
from tfcdr.errors import RunError
from tfcdr.evaluation import EvaluationOptions, HeldOutRanker, Ranks
from tfcdr.report_section import Names, Section
from tfcdr.run_folder import RunFolder
from tfcdr.stage_model import StageModel
from tfcdr.stage_run import StageRun
from tfcdr.system import Stage, System

# Candidates are drawn from this seed in every run, so that all runs rank among the same ones.
_CANDIDATE_SEED = 0


class Experiment:
    """One system with one configuration on one data set, in one folder."""

    def __init__(
        self,
        system: System,
        config: Any,
        data: DataSource,
        folder: RunFolder,
        options: EvaluationOptions,
        seed: int,
        jit_compile: bool,
        distribution: Distribution = ONE_DEVICE,
        mixed_precision: bool = False,
        pretrained: RunFolder | None = None,
    ) -> None:
        """Creates the experiment.

        Args:
          system: from the registry.
          config: an instance of `system.config_class`.
          data: a prepared data set.
          folder: where the run's files go; claimed by the caller.
          options: how validation and test are ranked.
          seed: of weights, batches and draws.
          jit_compile: whether train steps are compiled by XLA.
          distribution: the devices and processes that train.
          mixed_precision: whether layers compute in float16; weights are float32 in any case.
          pretrained: a run whose best epochs stand for all stages but the last, which alone is
            trained then.
        """
        self._system = system
        self._config = config
        self._data = data
        self._folder = folder
        self._options = options
        self._seed = seed
        self._jit_compile = jit_compile
        self._distribution = distribution
        self._mixed_precision = mixed_precision
        self._pretrained = pretrained
        self._stages = system.stages(config)
        # By the model's identity; each keeps its model, so that an identity is not used again.
        self._rankers: dict[int, HeldOutRanker] = {}

    def check_data(self) -> None:
        """Opens every split of every stage, so that what the data lacks is known at once.

        Raises:
          RunError: a batch size that the replicas cannot share, or a pre-trained run of other data
            or another system.
          ValueError: of the data's own kind: a view, a split or a file is missing or damaged, or
            the data cannot give what the configuration asks for.
        """
        if self._pretrained is not None:
            self._check_pretrained(self._pretrained)
        for stage in self._stages:
            self._distribution.check_batch_size(stage.name, stage.batch_size)
            self._training_batches(stage)
            self._evaluation_batches(stage, "validation", sampled=True)
        self._evaluation_batches(self._stages[-1], "test", sampled=True)

    def run(self) -> dict[str, Any]:
        """Runs or resumes every stage, evaluates, and writes metrics.json.

        Returns:
          What metrics.json holds: see `evaluate`, and "stages" with the training of each stage.

        Raises:
          RunError: see `StageRun.train`.
        """
        previous, trained = None, {}
        for stage in self._stages:
            if self._pretrained is not None and stage != self._stages[-1]:
                previous = self._model_of(stage, self._pretrained)
                print(f"{stage.name}: taken from {self._pretrained.path}")
                continue
            stage_run = self._stage_run(stage, self._folder)
            if previous is not None:
                self._system.warm_start(stage_run.model, previous)
            print(f"{stage.name}: {_describe_parameters(stage_run.model)}")
            stage_run.train(self._validation(stage))
            trained[stage.name] = stage_run.summary()
            previous = stage_run.model
        metrics = {"stages": trained, **self.evaluate(previous)}
        self._folder.finish(metrics)
        return metrics

    def best_model(self) -> StageModel:
        """Rebuilds the last stage's model with the weights of its best epoch.

        Raises:
          RunError: the run has no such checkpoint, or it does not fit.
        """
        return self._model_of(self._stages[-1], self._folder)

    def evaluate(self, model: StageModel) -> dict[str, Any]:
        """Ranks the validation and the test interactions of the last stage.

        Returns:
          "validation" and "test": metrics of all users under the chosen protocol; "tables": for
          each split the rows of `evaluation.tabulate`.
        """
        ranks = {split: self.held_out_ranks(model, split) for split in ("validation", "test")}
        chosen = (self._options.protocol, evaluation.MODEL)
        tables = {
            split: evaluation.tabulate(of_split, self._options.ks)
            for split, of_split in ranks.items()
        }
        headline = {
            split: of_split[chosen].summary(self._options.ks) for split, of_split in ranks.items()
        }
        return {**headline, "tables": tables}

    def print_tables(self, metrics: dict[str, Any]) -> None:
        """Prints the tables of `evaluate`."""
        for split, rows in metrics["tables"].items():
            print(f"\n{split}\n{evaluation.format_table(rows, self._options.monitor)}")

    def held_out_ranks(self, model: StageModel, split: str) -> dict[tuple[str, str], Ranks]:
        """Ranks the interactions of a split by the last stage's model and by popularity."""
        return self._ranks(self._stages[-1], model, split, evaluation.PROTOCOLS)

    def report_sections(self, model: StageModel, names: Names) -> Sequence[Section]:
        """Returns what the system adds to the run's page; see `System.report_sections`."""
        return self._system.report_sections(self._config, model, self._data, names)

    def _check_pretrained(self, pretrained: RunFolder) -> None:
        settings = pretrained.config()
        if len(self._stages) == 1:
            raise RunError(
                f"{pretrained.path}: the configuration has the stage {self._stages[0].name} alone, "
                "which takes nothing over from a pre-trained run."
            )
        if settings["system"] != self._system.name:
            raise RunError(
                f"{pretrained.path}: a run of {settings['system']}, not of {self._system.name}."
            )
        if settings["data_fingerprint"] != self._data.fingerprint:
            raise RunError(f"{pretrained.path}: a run on other data, so that its ids differ.")

    def _model_of(self, stage: Stage, folder: RunFolder) -> StageModel:
        """Rebuilds the model of a stage with the weights of its best epoch in a run."""
        stage_run = self._stage_run(stage, folder)
        stage_run.restore_best()
        return stage_run.model

    def _stage_run(self, stage: Stage, folder: RunFolder) -> StageRun:
        # Each stage starts from a seed of its own, so that a resumed run, which skips the stages
        # before, draws the same initial weights.
        tf.keras.utils.set_random_seed(self._seed + 1000 * self._stages.index(stage))
        with self._distribution.scope(), _dtype_policy(self._mixed_precision):
            model = self._system.build(stage.name, self._config, self._data, self._seed)
            optimizer = self._system.optimizer(stage.name, self._config)
            model.compile(optimizer=optimizer, jit_compile=self._jit_compile)
        return StageRun(
            stage,
            model,
            self._data,
            folder,
            self._seed,
            self._options.monitor,
            self._distribution,
        )

    def _validation(self, stage: Stage) -> Any:
        sampled = self._options.protocol == "sampled" and stage.has_candidates
        protocol = "sampled" if sampled else "full"

        def validate(model: StageModel) -> dict[str, float]:
            ranks = self._ranks(stage, model, "validation", [protocol])
            return ranks[protocol, evaluation.MODEL].summary(self._options.ks)

        return validate

    def _ranks(
        self, stage: Stage, model: StageModel, split: str, protocols: Collection[str]
    ) -> dict[tuple[str, str], Ranks]:
        """Ranks a split; processes share its rows, and each gets the ranks of all."""
        batches = self._evaluation_batches(stage, split, "sampled" in protocols)
        own = self._ranker(stage, model)(batches, protocols)
        if self._distribution.num_workers == 1:
            return own
        size = self._evaluation_batch_size
        first, last = self._distribution.rows(size)
        examples = self._data.num_examples(stage.evaluation.view, split)
        whole = {}
        for scorer, ranks in own.items():
            batch, place = np.divmod(ranks.row, last - first)
            row = batch * size + first + place
            columns = np.zeros((len(ranks), examples))
            columns[:, row] = ranks._replace(row=row)
            total = self._distribution.add_up(columns).astype(np.int64)
            user, cold, *others = total[:, total[0] > 0]
            whole[scorer] = Ranks(user, cold > 0, *others)
        return whole

    @property
    def _evaluation_batch_size(self) -> int:
        """The batch size of evaluation, rounded up so that processes can share a batch."""
        workers = self._distribution.num_workers
        return -(-self._options.batch_size // workers) * workers

    def _ranker(self, stage: Stage, model: StageModel) -> HeldOutRanker:
        if id(model) not in self._rankers:
            counts = self._data.vocabulary(self._system.catalogue(stage.name)).counts
            self._rankers[id(model)] = HeldOutRanker(model, counts)
        return self._rankers[id(model)]

    def _training_batches(self, stage: Stage) -> tf.data.Dataset:
        return stage.training.batches(self._data, "train", stage.batch_size, self._seed)

    def _evaluation_batches(self, stage: Stage, split: str, sampled: bool) -> tf.data.Dataset:
        request = stage.evaluation
        # Only views with candidates offer them; pre-training ranks the full catalogue.
        if sampled and stage.has_candidates and self._options.negatives:
            options = {**request.options, "candidates": self._options.negatives}
            request = request._replace(options=options)
        size = self._evaluation_batch_size
        rows = self._distribution.rows(size)
        return request.batches(self._data, split, size, _CANDIDATE_SEED, rows=rows)


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

    trainable = count(model.trainable_variables)
    frozen = count(model.non_trainable_variables)
    return f"{trainable:,} trainable parameters, {frozen:,} frozen"
