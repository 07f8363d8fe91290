"""A conversion from raw files to a prepared data set, under Apache Beam.

The steps, each a pipeline that reads what the one before left in the work folder:

1. read: pieces of the files -> interactions, grouped by user (`reading`);
2. the k-core, if asked for: a pipeline per round, until no item is too rare (`splitting`);
3. the census of users and times, from which the launching machine draws the users to hold out and
   finds the cut-off times (`splitting`);
4. counts of items and users, from which it numbers both (`coding`);
5. histories in integers (`coding`);
6. a record for each user, shuffled and written by TensorFlow Datasets (here).
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
from data_pipelines.distributed.coding import group_records, number_groups
from data_pipelines.distributed.reading import GroupedLog
from data_pipelines.distributed.splitting import each_group, prepare_split
from data_pipelines.distributed.work_folder import WorkFolder
from data_pipelines.errors import DataError
from data_pipelines.prepared import build
from data_pipelines.prepared.records import RecordBuilder, RecordKind
from data_pipelines.readers import delimited
from data_pipelines.splitting import splits
from data_pipelines.splitting.split_log import SplitOptions
from data_pipelines.views.user_records import SPLIT


def convert(
    reader: str,
    inputs: Sequence[str],
    read: Any,
    split: SplitOptions,
    data_dir: str | Path,
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
      data_dir: the folder to make, on the launching machine. Without Beam's `--temp_location` all
        workers must reach the folder that holds it.
      beam_options: Beam's pipeline options, such as `--runner=FlinkRunner`.
      overwrite: replaces a prepared data set that is there.
      num_shards: files (at most one a user); 0 chooses by the number of users.
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
        splits.check(log.comparable_times, log.columns, split)
        report("splitting")
        splitter = prepare_split(log, split, work, options)
        report("numbering users and items")
        content = number_groups(splitter, options)

        def write(kind: RecordKind, folder: Path) -> None:
            report(f"writing {kind.name}")
            records = each_group(log.groups) | beam.FlatMap(group_records, work)
            elsewhere = _temp_location(options) is not None
            root = epath.Path(work.path) / "records" if elsewhere else epath.Path(folder.resolve())
            with running.reporting(options):
                RecordBuilder(kind, {SPLIT: records}, root).write(num_shards, beam_options=options)
            if elsewhere:
                _fetch(root / kind.name, folder / kind.name)

        return build.assemble(content, data_dir, provenance or {}, write)


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


def _fetch(source: epath.Path, target: Path) -> None:
    """Copies a folder from wherever the workers wrote it."""
    target.mkdir(parents=True)
    for entry in source.iterdir():
        if entry.is_dir():
            _fetch(entry, target / entry.name)
        else:
            entry.copy(target / entry.name)
