"""A conversion from raw files to a prepared data set, under Apache Beam.

The steps, each a pipeline that reads what the one before left in the work folder:

1. read: pieces of the files -> interactions, grouped by user (`reading`);
2. the k-core, if asked for: a pipeline per round, until no item is too rare (`splitting`);
3. the census of users, from which the launching machine draws the held-out ones (`splitting`);
4. counts of items and users, from which it makes the vocabularies (`coding`);
5. histories in integers (`coding`);
6. for each view, examples, shuffled and written by TensorFlow Datasets (here).
"""

import contextlib
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from etils import epath

from data_pipelines import readers
from data_pipelines.distributed import reading, running
from data_pipelines.distributed.coding import load_histories, number_groups
from data_pipelines.distributed.reading import GroupedLog
from data_pipelines.distributed.splitting import each_group, prepare_split
from data_pipelines.distributed.work_folder import WorkFolder
from data_pipelines.errors import DataError
from data_pipelines.prepared import build
from data_pipelines.prepared.records import (
    ExampleCounts,
    RecordBuilder,
    keyed_examples,
    require_training,
    view_metadata,
)
from data_pipelines.readers import delimited
from data_pipelines.splitting import splits
from data_pipelines.splitting.split_log import DomainRoles, SplitOptions
from data_pipelines.views.view import ExampleOptions, View


def convert(
    reader: str,
    inputs: Sequence[str],
    read: Any,
    split: SplitOptions,
    views: Sequence[str],
    data_dir: str | Path,
    examples: ExampleOptions,
    *,
    beam_options: Sequence[str] = (),
    overwrite: bool = False,
    num_shards: int = 0,
    provenance: Mapping[str, Any] | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Reads, splits and writes a data set; it appears under `data_dir` in one rename.

    Args:
      reader: a name of `readers.READERS`. `csv` reads on the workers; the logs of the others fit
        into the memory of the launching machine, which reads them.
      inputs: as `readers.read` takes them; for `csv` also URLs that Beam can open.
      read: the reader's options.
      split: `--split.*`.
      views: names from `views.VIEWS`.
      data_dir: the folder to make, on the launching machine. Without Beam's `--temp_location` all
        workers must reach the folder that holds it.
      examples: `--examples.*`.
      beam_options: Beam's pipeline options, such as `--runner=FlinkRunner`.
      overwrite: replaces a prepared data set that is there.
      num_shards: 0 chooses by the number of examples.
      provenance: kept in the metadata.
      progress: names each step on stderr.

    Returns:
      The metadata, as in `prepared.json`; the same as `build.build` gives.

    Raises:
      DataError: bad input or options; nothing has been written.
    """
    options = running.pipeline_options(beam_options)
    build.check_destination(data_dir, overwrite)
    report = _Steps(progress)
    with _work_folder(Path(data_dir), options) as work:
        report("reading")
        log = _grouped(reader, inputs, read, work, options)
        splits.check(log.domains, log.columns, split)
        roles = DomainRoles(log.domains, split.target, log.comparable_times)
        chosen = build.checked_views(views, roles, examples)
        report("splitting")
        splitter = prepare_split(log, roles, split, work, options)
        report("numbering users and items")
        content, filled = number_groups(splitter, chosen, examples, options)
        for view in chosen:
            require_training(view, filled[view.name])

        def write(view: View, folder: Path) -> dict[str, Any]:
            report(f"writing {view.name}")
            parts = filled[view.name]
            transforms = {part: _Examples(view, part, examples, log.groups, work) for part in parts}
            elsewhere = _temp_location(options) is not None
            root = epath.Path(work.path) / "records" if elsewhere else epath.Path(folder.resolve())
            with running.reporting(options):
                RecordBuilder(view, transforms, root).write(num_shards, beam_options=options)
            if elsewhere:
                _fetch(root / view.name, folder / view.name)
            return view_metadata(view, {part: _total(view, part, work) for part in parts})

        return build.assemble(content, chosen, data_dir, examples, provenance or {}, write)


class _Steps:
    """Names the steps on stderr."""

    def __init__(self, visible: bool) -> None:
        self._visible = visible

    def __call__(self, step: str) -> None:
        if self._visible:
            print(f"beam: {step}", file=sys.stderr, flush=True)


def _grouped(
    reader: str, inputs: Sequence[str], read: Any, work: WorkFolder, options: PipelineOptions
) -> GroupedLog:
    if reader == delimited.READER.name:
        return reading.group_tables(inputs, read, work, options)
    return reading.group_log(readers.read(reader, inputs, read), work, options)


def _temp_location(options: PipelineOptions) -> str | None:
    return options.get_all_options().get("temp_location")


@contextlib.contextmanager
def _work_folder(data_dir: Path, options: PipelineOptions) -> Iterator[WorkFolder]:
    """A folder that all workers reach, under `--temp_location` or beside the data set."""
    shared = _temp_location(options)
    try:
        if shared:
            shared = shared if "://" in shared else os.path.abspath(shared)
            path = FileSystems.join(shared, f"tfcdr-{uuid.uuid4().hex}")
            FileSystems.mkdirs(path)
        else:
            data_dir.parent.mkdir(parents=True, exist_ok=True)
            prefix = f".{data_dir.name}.work-"
            path = tempfile.mkdtemp(prefix=prefix, dir=data_dir.parent.resolve())
    except (OSError, BeamIOError, ValueError) as error:
        place = f"--beam_options=--temp_location={shared}" if shared else str(data_dir)
        reason = " ".join(str(error).split())
        raise DataError(f"{place}: cannot be written ({reason}).") from error
    try:
        yield WorkFolder(path)
    finally:
        if shared:
            with contextlib.suppress(BeamIOError):  # Part of it may be gone already.
                FileSystems.delete([f"{path}/" if "://" in path else path])
        else:
            shutil.rmtree(path, ignore_errors=True)


class _Examples(beam.PTransform):
    """Cuts one part of one view: (key, example), and the counts in the work folder."""

    def __init__(
        self,
        view: View,
        part: str,
        options: ExampleOptions,
        groups: Sequence[int],
        work: WorkFolder,
    ) -> None:
        super().__init__()
        self._view = view
        self._part = part
        self._options = options
        self._groups = groups
        self._work = work

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        view, part, options, work = self._view, self._part, self._options, self._work

        def cut(group: int) -> Iterator[Any]:
            counts = ExampleCounts.of_none(view)
            yield from keyed_examples(view, load_histories(work, group), part, options, counts)
            yield beam.pvalue.TaggedOutput("counts", vars(counts))

        outputs = each_group(pipeline, self._groups) | beam.FlatMap(cut).with_outputs(
            "counts", main="examples"
        )
        _ = outputs.counts | running.Gather(work, _counts_name(view, part))
        return outputs.examples


def _counts_name(view: View, part: str) -> str:
    return f"examples-{view.name}-{part}"


def _total(view: View, part: str, work: WorkFolder) -> ExampleCounts:
    total = ExampleCounts.of_none(view)
    for counts in work.load_json(_counts_name(view, part)):
        total.merge(ExampleCounts(**counts))
    return total


def _fetch(source: epath.Path, target: Path) -> None:
    """Copies a folder from wherever the workers wrote it."""
    target.mkdir(parents=True)
    for entry in source.iterdir():
        if entry.is_dir():
            _fetch(entry, target / entry.name)
        else:
            entry.copy(target / entry.name)
