"""Training and using runs from Python: what `tfcdr.train` and `tfcdr.open_run` are.

    import tfcdr

    run = tfcdr.train("runs/toys", log, system="timirec", target="toys")
    run.recommend({"somebody": ["books:b17", "toys:t3"]}, top_k=5)

A run made here is one of `launchers/train.py`, and the other way round: one code does both, and
either goes on with what the other has begun.
"""

import dataclasses
import functools
import hashlib
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import pandas as pd

from data_pipelines.errors import DataError
from data_pipelines.logs import InteractionLog
from data_pipelines.prepared import build
from data_pipelines.prepared.dataset import PreparedData, open_prepared, open_whole
from data_pipelines.prepared.reading import Source
from data_pipelines.splitting.split_log import SplitOptions
from data_pipelines.splitting.splits import split as split_log
from data_pipelines.views.example_options import ExampleOptions
from launchers import finished_run, folder_lock, run_sources, whole_run
from launchers.finished_run import FinishedRun
from launchers.recommending.target_scorer import TargetScorer, Users, scorers_of
from launchers.target_runs import Wish
from launchers.whole_run import Presentation
from tfcdr.errors import RunError
from tfcdr.runs.experiment import enable_determinism
from tfcdr.runs.run_folder import RunFolder
from tfcdr.runs.step_log import READ_LOSSES_EVERY
from tfcdr.system import Serving
from tfcdr.systems.registry import SYSTEMS

Log: TypeAlias = pd.DataFrame | InteractionLog
# Raw ids of items by user, or rows of user_id, item_id and maybe domain.
RawHistories: TypeAlias = Mapping[str, Sequence[str]] | pd.DataFrame
_PYTHON = "python"  # stands for a reader in the metadata of a data set


def train(
    workdir: str | pathlib.Path,
    log: Log | None = None,
    *,
    system: str = "peterrec",
    target: str | Sequence[str] = (),
    sources: str | Sequence[str] = (),
    config: Any = None,
    examples: Mapping[str, Any] | ExampleOptions | None = None,
    evaluation: Any = None,
    split: Mapping[str, Any] | SplitOptions | None = None,
    data_dir: str | pathlib.Path | None = None,
    compare_no_transfer: bool = False,
    pretrained: str | pathlib.Path = "",
    report: bool = False,
    export: bool = False,
    seed: int = 0,
    deterministic: bool = False,
    jit_compile: bool | None = None,
    mixed_precision: bool = False,
) -> "Run":
    """Trains a system and evaluates it, as `launchers/train.py` does.

    Called again with the same arguments, it goes on where it stopped, or opens what is finished.

    Args:
      workdir: folder of the run.
      log: what users did: columns `user_id`, `item_id`, `domain`, `timestamp` and, if there are,
        `rating`, `category`, `part`; `data_pipelines/logs.py` says what they hold. Also what one of
        `data_pipelines.readers` gives. None for a data set that is there already.
      system: one of `tfcdr.systems.registry.SYSTEMS`.
      target: domains whose items are recommended, or "all".
      sources: domains that are read besides; empty for all others.
      config: hyperparameters: an instance of the system's `config_class`, or a dict of its fields.
      examples: how examples are cut, `ExampleOptions` or a dict of its fields.
      evaluation: the system's `evaluation_options`, or a dict of its fields.
      split: how the log is split, `SplitOptions` or a dict of its fields.
      data_dir: folder of the prepared data set; by default `workdir`/data.
      compare_no_transfer: also trains the same model on the target alone and says whether the
        transfer helped.
      pretrained: folder of a run whose stages but the last are taken over; or, if it is of other
        data, from which every stage starts. Where the last stage takes the models of several seeds,
        the folder of their runs.
      report: draws the run, in `workdir`/report.
      export: exports the model for TensorFlow Serving, to `workdir`/export.
      seed: of weights, order and draws.
      deterministic: two runs give the same bits.
      jit_compile: compiles train steps by XLA; None where the system gains from it.
      mixed_precision: computes in float16 with float32 weights.

    Returns:
      The finished run.

    Raises:
      ValueError: an argument is wrong, the log is, or something does not fit; the message says
        what. `data_pipelines.errors.DataError` and `tfcdr.errors.RunError` are of this kind.
      TypeError: there is no such field.
    """
    if system not in SYSTEMS:
        raise RunError(f"there is no system {system!r}; the systems are {', '.join(SYSTEMS)}.")
    chosen, folder = SYSTEMS[system], pathlib.Path(workdir)
    if log is not None and chosen.log != "interactions":
        raise RunError(f"{system} reads {chosen.log}; convert them first and give data_dir.")
    if split is not None and log is None:
        raise RunError("split says how a log is split, and there is none: leave it out.")
    options = _made(chosen.evaluation_options, evaluation)
    chosen.check_evaluation(options)
    wish = Wish(
        system=chosen,
        config=_made(chosen.config_class, config),
        options=options,
        baseline_config=None,
        workdir=folder,
        data_dir=pathlib.Path(data_dir) if data_dir else folder / "data",
        pretrained=str(pretrained),
        seed=seed,
        deterministic=deterministic,
        jit_compile=chosen.gains_from_xla() if jit_compile is None else jit_compile,
        mixed_precision=mixed_precision,
        read_losses_every=READ_LOSSES_EVERY,
    )
    RunFolder(folder).check_free()
    if compare_no_transfer:
        wish = wish._replace(baseline_config=whole_run.without_transfer(wish))
    targets, besides = (
        [names] if isinstance(names, str) else list(names) for names in (target, sources)
    )
    cut = _made(ExampleOptions, examples)
    splitting = _made(SplitOptions, split)
    if deterministic:
        enable_determinism()

    def prepare() -> PreparedData:
        if log is not None:
            _convert(log, splitting, wish.data_dir)
        return open_whole(wish.data_dir, chosen.log)

    def read(data: PreparedData) -> dict[str, Source]:
        return run_sources.sources(data, chosen, wish.config, targets, besides, cut)

    whole_run.carry_out(wish, prepare, read, Presentation(report, export))
    return Run(folder, data_dir)


def open_run(workdir: str | pathlib.Path, data_dir: str | pathlib.Path | None = None) -> "Run":
    """Opens the folder of a run.

    Args:
      workdir: of `train` or `launchers/train.py`.
      data_dir: the prepared data set, if it has moved since training.

    Raises:
      RunError: there is no run.
    """
    run = Run(pathlib.Path(workdir), data_dir)
    _ = run.config
    return run


class Run:
    """A run: its figures, and its model at the best epoch, which is loaded when it is needed.

    Attributes:
      workdir: the run's folder.
    """

    def __init__(self, workdir: pathlib.Path, data_dir: str | pathlib.Path | None = None) -> None:
        """Remembers where the run lies; see `open_run`."""
        self.workdir = workdir
        self._data_dir = None if data_dir is None else str(data_dir)
        self._scorers: dict[tuple[Any, ...], list[TargetScorer]] = {}

    def __repr__(self) -> str:
        return f"<tfcdr run of {self.config.get('system')} in {self.workdir}>"

    @functools.cached_property
    def config(self) -> dict[str, Any]:
        """All settings, as `config.json` has them."""
        return RunFolder(self.workdir).config()

    @functools.cached_property
    def targets(self) -> Mapping[str, FinishedRun]:
        """The model, data and evaluation of each target, by name; "" for a single one.

        Raises:
          RunError: no epoch is finished, or a checkpoint is damaged.
          DataError: the data set is missing or another.
        """
        return finished_run.load(self.workdir, self._data_dir)

    def metrics(self) -> pd.DataFrame:
        """Returns the tables of the finished run: a row for each split, group and scorer.

        Raises:
          RunError: the run is not finished.
        """
        return _tables(self._finished())

    def verdicts(self) -> dict[str, Any]:
        """Returns what the run says of its bars and of the transfer, as metrics.json has it.

        Entries `bars`, `transfer`, `transfer_groups` and `transfer_parts`, as far as there are;
        with several targets, those of each target by name.

        Raises:
          RunError: the run is not finished.
        """
        names = ("bars", "transfer", "transfer_groups", "transfer_parts")
        found = {
            target: {name: metrics[name] for name in names if name in metrics}
            for target, metrics in self._finished().items()
        }
        return found[""] if set(found) == {""} else found

    def epochs(self) -> pd.DataFrame:
        """Returns a row for each finished epoch: losses, figures, validation metrics, seconds."""
        folders = self._folders().items()
        rows = [
            {**({"target": target} if target else {}), **line}
            for target, folder in folders
            for line in folder.all_epochs()
        ]
        return pd.json_normalize(rows)

    def evaluate(self) -> pd.DataFrame:
        """Scores validation and test again; returns tables as `metrics` does."""
        found = {}
        for target, run in self.targets.items():
            with run.source.prepared.naming_corrupt_shards():
                found[target] = run.experiment.evaluate(run.model)
        return _tables(found)

    def recommend(
        self,
        histories: RawHistories | None = None,
        *,
        top_k: int = Serving().top_k,
        target: str | Sequence[str] = (),
        leave_out_seen: bool | None = None,
    ) -> pd.DataFrame:
        """Recommends items to users, whether training knew them or not.

        Args:
          histories: by user, what he did, oldest first: items as `domain:item`, or by the bare id
            where one domain of the run alone has it. Or a table with columns `user_id`, `item_id`
            and maybe `domain` and `timestamp`, by which it is sorted then. None for all users of
            the data set; for very many there is `launchers/recommend.py`.
          top_k: items for each user.
          target: domains whose items are recommended; all targets by default.
          leave_out_seen: whether items of the history are left out; None where a user's repeated
            interactions with an item count once.

        Returns:
          A row for each recommended item: user_id, domain, rank from 1, item_id, score, known (ids
          of the history that the model knows) and given (all of them). Where none is known, these
          are the most popular items, and their scores are training interactions.

        Raises:
          RunError: the system recommends nothing, or there is no such target.
        """
        wanted = (target,) if isinstance(target, str) else tuple(target)
        key = (top_k, wanted, leave_out_seen)
        if key not in self._scorers:
            made = scorers_of(self.targets, wanted, Serving(top_k), leave_out_seen)
            self._scorers[key] = made
        rows = None if histories is None else _by_user(histories)
        found = []
        for scorer in self._scorers[key]:
            some: Iterable[Users]
            if rows is None:
                some = (scorer.of_data_set(*each) for each in scorer.source.whole_histories())
            else:
                some = [scorer.of_raw(list(rows), list(rows.values()))]
            found += [scorer.table(users)[0] for users in some]
        return pd.concat([table.to_pandas() for table in found], ignore_index=True)

    def export(
        self,
        *,
        top_k: int = Serving().top_k,
        retrieval: str = Serving().retrieval,
        export_dir: str | pathlib.Path | None = None,
    ) -> pathlib.Path:
        """Writes the model's next version for TensorFlow Serving; returns its folder.

        Args:
          top_k: items in a recommendation.
          retrieval: how they are found, one of `tfcdr.ranking.retrieval.KINDS`.
          export_dir: the folder that the server watches; by default `export` in the run's.

        Raises:
          HeldError: another process exports there.
          RunError: the folder cannot be written, or the retrieval cannot be had.
        """
        serving = Serving(top_k, retrieval)
        return finished_run.export(self.workdir, self.targets, serving, export_dir)

    def _folders(self) -> dict[str, RunFolder]:
        return finished_run.folders(self.workdir)

    def _finished(self) -> dict[str, dict[str, Any]]:
        found = {}
        for target, folder in self._folders().items():
            metrics = folder.metrics()
            if metrics is None:
                raise RunError(f"{folder.path}: the run is not finished; train it to its end.")
            found[target] = metrics
        return found


def _made(kind: type, given: Any) -> Any:
    """Returns a dataclass, of a dict of its fields or of nothing."""
    if isinstance(given, kind):
        return given
    return kind(
        **{name: tuple(v) if isinstance(v, list) else v for name, v in (given or {}).items()}
    )


def _convert(log: Log, split: SplitOptions, data_dir: pathlib.Path) -> None:
    """Makes a data set of a log, unless it is there.

    Raises:
      DataError: the log is bad, or what is there was made of another log or split otherwise.
    """
    table = log.interactions if isinstance(log, InteractionLog) else log
    made_of = {"reader": _PYTHON, "log": _digest(table), "split": dataclasses.asdict(split)}
    made_of = json.loads(json.dumps(made_of))  # as in the file: tuples become lists
    if data_dir.exists():
        found = open_prepared(data_dir).metadata["options"]
        if {name: found.get(name) for name in made_of} != made_of:
            raise DataError(
                f"{data_dir}: was prepared of another log, or split otherwise; give another "
                "workdir or data_dir, or leave log out to train on what is there."
            )
        return
    if not isinstance(log, InteractionLog):
        log = _canonical(table)
    with folder_lock.held(data_dir, "converts"):
        build.clear_leftovers(data_dir)
        build.build(split_log(log, split), data_dir, provenance=made_of)


def _canonical(table: pd.DataFrame) -> InteractionLog:
    """Checks a table of interactions; domains are in the order of their names."""
    if "domain" not in table:
        raise DataError(
            "column 'domain' is missing; the log has user_id, item_id, domain and timestamp."
        )
    domains = tuple(sorted({str(name) for name in table["domain"].unique()}))
    return InteractionLog(table, domains, comparable_times=True)


def _digest(table: pd.DataFrame) -> str:
    """Returns a hex digest of a table's columns and rows."""
    rows = pd.util.hash_pandas_object(table.reset_index(drop=True), index=False)
    names = ",".join(map(str, table.columns))
    return hashlib.sha256(names.encode() + rows.to_numpy().tobytes()).hexdigest()


def _tables(metrics: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Puts the tables of all targets and splits into one."""
    rows = [
        {**({"target": target} if target else {}), "split": split, **row}
        for target, of_target in metrics.items()
        for split, table in of_target["tables"].items()
        for row in table
    ]
    return pd.DataFrame(rows)


def _by_user(histories: RawHistories) -> dict[str, list[str]]:
    """Returns each user's items as they are named in histories."""
    if not isinstance(histories, pd.DataFrame):
        for user, items in histories.items():
            if isinstance(items, str):
                raise DataError(f"the history of {user!r} is a text: give a list of item ids.")
        return {str(user): [str(item) for item in items] for user, items in histories.items()}
    for name in ("user_id", "item_id"):
        if name not in histories:
            raise DataError(f"column {name!r} is missing; histories have user_id and item_id.")
    if "timestamp" in histories:
        histories = histories.sort_values("timestamp", kind="stable")
    items = histories["item_id"].astype(str)
    if "domain" in histories:
        items = histories["domain"].astype(str) + ":" + items
    by_user = items.groupby(histories["user_id"].astype(str).to_numpy(), sort=False)
    return {str(user): of_user.tolist() for user, of_user in by_user}
