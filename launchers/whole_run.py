"""A run from the first check to the last file, however it was asked for: by flags or by Python."""

import contextlib
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

from data_pipelines.prepared import item_titles
from data_pipelines.prepared.dataset import PreparedData
from data_pipelines.prepared.reading import Source
from launchers import finished_run, folder_lock, program, result_box, target_runs
from launchers.target_runs import Wish
from tfcdr.distribution.one_device import ONE_DEVICE, Distribution
from tfcdr.report_section import ShownDomain
from tfcdr.runs import report
from tfcdr.runs.run_folder import RunFolder

_SHOWN_USERS = 6
_NOTHING_HELD = contextlib.nullcontext()


class Presentation(NamedTuple):
    """What becomes of a finished run.

    Attributes:
      report: whether its page is drawn.
      export: whether it is exported, unless it is already.
      export_dir: the folder that the server watches, WORKDIR/export by default.
      titles: reads what items are called on the page, by raw id.
      command: what was called, for the page.
    """

    report: bool = False
    export: bool = False
    export_dir: str = ""
    titles: Callable[[], Mapping[str, str]] = dict
    command: str = ""


def carry_out(
    wish: Wish,
    prepare: Callable[[], PreparedData],
    read: Callable[[PreparedData], dict[str, Source]],
    presentation: Presentation,
    distribution: Distribution = ONE_DEVICE,
) -> None:
    """Trains, evaluates, compares, draws and exports; goes on where it stopped.

    Args:
      wish: what is asked for.
      prepare: opens the data set, which it prepares first if it is not there.
      read: gives what is read of it for each target.
      presentation: what becomes of the finished run.
      distribution: the devices and processes that train.

    Raises:
      HeldError: another process trains in the folder.
      FlagError: there is nothing to compare with.
      RunError: something does not fit; see `target_runs.run`.
      DataError: the data are missing, damaged or do not give what is asked for.
    """
    with (
        distribution.naming_lost_tasks(),
        _only_chief_prints(distribution),
        folder_lock.held(wish.workdir, "trains") if distribution.is_chief else _NOTHING_HELD,
    ):
        titles = presentation.titles() if distribution.is_chief else {}
        with distribution.chief_first():
            data = prepare()
        with data.naming_corrupt_shards():
            sources = read(data)
            _summarize(wish, sources)
            target_runs.run(wish, sources, distribution)
        if distribution.is_chief:
            _present(wish, presentation, titles, sources.values())
            result_box.show(wish.workdir, wish.system, wish.options.monitor)


def without_transfer(wish: Wish) -> Any:
    """Returns the baseline's configuration; refuses, before any work, what cannot be compared.

    Raises:
      FlagError: nothing is transferred, or the monitor cannot be compared.
      RunError: the configuration trains nothing on the target.
    """
    system = wish.system
    try:
        wish.options.check_comparable()
    except ValueError as error:
        flag = f"--{system.evaluation_group}.monitor"
        raise program.FlagError(f"--compare_no_transfer: {flag}: {error}") from error
    baseline = system.without_transfer(wish.config)
    if baseline == wish.config:
        raise program.FlagError(
            f"--compare_no_transfer: --{system.name}.* transfers nothing already; leave it out."
        )
    return baseline


def _summarize(wish: Wish, sources: Mapping[str, Source]) -> None:
    """Says what the data hold for each target."""
    for target, source in sources.items():
        if wish.baseline_config is not None and not source.transfers:
            raise program.FlagError(
                f"--compare_no_transfer: nothing is read besides the target {target}, so that "
                "nothing is transferred; leave it out."
            )
        print("\n".join(source.summary()))


def _present(
    wish: Wish,
    presentation: Presentation,
    titles: Mapping[str, str],
    sources: Collection[Source],
) -> None:
    """Draws and exports the finished run, as is asked for; `sources` is what it has read."""
    export = presentation.export and RunFolder(wish.workdir).exported() is None
    if not (presentation.report or export):
        return
    # Not the models that were trained: those may be spread over processes.
    finished = finished_run.load(wish.workdir, str(wish.data_dir), opened=sources)
    for run_of_target in finished.values() if presentation.report else ():
        names = item_titles.ShownNames(run_of_target.source, titles)
        experiment, model = run_of_target.experiment, run_of_target.model
        page = report.write(
            run_of_target.folder,
            wish.options.monitor,
            experiment.report_sections(model, names),
            [ShownDomain(*domain) for domain in run_of_target.source.domain_sizes()],
            experiment.shown_users(model, names, _SHOWN_USERS),
            presentation.command,
        )
        print(f"\nreport {page}")
    if export:
        version = finished_run.export(
            wish.workdir, finished, export_dir=presentation.export_dir or None
        )
        print(f"\nexported {version}")


@contextlib.contextmanager
def _only_chief_prints(distribution: Distribution) -> Iterator[None]:
    """Silences the other processes, which would print the same; errors come out everywhere."""
    if distribution.is_chief:
        yield
        return
    print(f"worker {distribution.worker} of {distribution.num_workers}: the chief prints the run.")
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield
