"""The flags that say which data to read and how to prepare it, for every launcher that does.

Importing this module defines `--reader`, `--input`, `--raw_dir`, `--data_dir`, `--num_shards`,
`--engine`, `--beam_options`, and the groups `--read.*`, `--split.*`, `--synthetic.*`,
`--examples.*`; `impression_flags` has those for impressions.
"""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from data_pipelines import distributed, impressions, readers
from data_pipelines.errors import DataError
from data_pipelines.prepared import build
from data_pipelines.prepared.dataset import PreparedData, open_prepared
from data_pipelines.readers.options import ReadOptions
from data_pipelines.readers.synthetic import SyntheticOptions
from data_pipelines.splitting import splits
from data_pipelines.splitting.split_log import SplitOptions
from data_pipelines.views import STORED_VIEWS
from data_pipelines.views.view import ExampleOptions
from launchers import config_flags, impression_flags, program

VIEW_NAMES = tuple(STORED_VIEWS)
_READER_NAMES = tuple(sorted({*readers.READER_NAMES, *impressions.READER_NAMES}))

_READER = flags.DEFINE_enum(
    "reader", None, _READER_NAMES, "Format of the raw logs; synthetic draws demo data."
)
_INPUT = flags.DEFINE_list(
    "input",
    [],
    "Raw files, comma-separated: PATH, or DOMAIN=PATH, or DOMAIN=PATH@PART, as the reader takes.",
)
_RAW_DIR = flags.DEFINE_string(
    "raw_dir",
    "",
    "Folder from which relative paths in --input and --titles.path start; empty: the current one.",
)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of the prepared data set.")
_NUM_SHARDS = flags.DEFINE_integer(
    "num_shards", 0, "Files per view and split; 0 chooses by size.", lower_bound=0
)
_ENGINE = flags.DEFINE_enum(
    "engine",
    "local",
    ["local", "beam"],
    "What converts: this process, or Apache Beam (pip install 'tfcdr[beam]') on --beam_options.",
)
_BEAM_OPTIONS = flags.DEFINE_multi_string(
    "beam_options",
    [],
    "Beam's own pipeline options, as in --beam_options=--runner=FlinkRunner,--flink_master=HOST: "
    "separated by commas before --, other commas belong to a value. May come several times, as on "
    "the lines of a flagfile.",
)
_READ = config_flags.define("read", ReadOptions)
_SPLIT = config_flags.define("split", SplitOptions)
_SYNTHETIC = config_flags.define("synthetic", SyntheticOptions)
_EXAMPLES = config_flags.define("examples", ExampleOptions)
flags.adopt_module_key_flags(impression_flags)
_INTERACTION_GROUPS = ("read", "split", "synthetic", "examples")


def reader_given() -> bool:
    """Whether `--reader` says how to prepare a data set."""
    return _READER.value is not None


def data_dir(default: Path | None = None) -> Path:
    """Returns the folder of the prepared data set.

    Args:
      default: where it is if `--data_dir` is missing.

    Raises:
      FlagError: `--data_dir` is missing and there is no default.
    """
    if _DATA_DIR.value:
        return Path(_DATA_DIR.value)
    if default is None:
        raise program.FlagError("--data_dir is missing: name the folder of the prepared data set.")
    return default


def build_data(
    folder: Path, views: Sequence[str], *, overwrite: bool = False, progress: bool = True
) -> dict[str, Any]:
    """Reads, splits and writes a data set as the flags say.

    Args:
      folder: where it goes.
      views: names of views.
      overwrite: replaces a prepared data set that is there.
      progress: shows bars.

    Returns:
      The metadata, as in `prepared.json`.

    Raises:
      FlagError: `--reader` is missing or a flag has a bad value.
      DataError: bad input or an unwilling folder; nothing has been written.
    """
    if not reader_given():
        raise program.FlagError(f"--reader is missing: it takes {', '.join(_READER_NAMES)}.")
    if impression_flags.VIEW in views:
        return _build_impressions(folder, views, overwrite=overwrite, progress=progress)
    impression_flags.refuse()
    if _READER.value not in readers.READER_NAMES:
        raise program.FlagError(
            f"--reader={_READER.value} reads impressions: use --view={impression_flags.VIEW}."
        )
    read, split, examples, synthetic = _READ(), _SPLIT(), _EXAMPLES(), _SYNTHETIC()
    build.check_destination(folder, overwrite)
    beam_options = _beam_options()
    common = {
        "overwrite": overwrite,
        "num_shards": _NUM_SHARDS.value,
        "provenance": _provenance(views),
        "progress": progress,
    }
    source = (_READER.value, _rooted_inputs(), read, synthetic)
    if _ENGINE.value == "beam":
        convert = distributed.load_conversion().convert
        return convert(*source, split, views, folder, examples, beam_options=beam_options, **common)
    return build.build(
        splits.split(readers.read(*source), split), views, folder, examples, **common
    )


def _build_impressions(
    folder: Path, views: Sequence[str], *, overwrite: bool, progress: bool
) -> dict[str, Any]:
    """`build_data` for impressions, which the flags for interactions say nothing about."""
    if len(views) > 1:
        raise program.FlagError(
            f"--view={','.join(views)}: impressions are a data set of their own; name "
            f"{impression_flags.VIEW} alone."
        )
    for name in flags.FLAGS:
        if name.partition(".")[0] in _INTERACTION_GROUPS and flags.FLAGS[name].present:
            raise program.FlagError(f"--{name} has no meaning for view {impression_flags.VIEW}.")
    if _ENGINE.value != "local":
        raise program.FlagError(
            f"--engine={_ENGINE.value} has no meaning for view {impression_flags.VIEW}: "
            "impressions are streamed by this process."
        )
    return impression_flags.build(
        folder,
        _READER.value,
        _rooted_inputs(),
        overwrite=overwrite,
        num_shards=_NUM_SHARDS.value,
        provenance=_provenance(views),
        progress=progress,
    )


def open_or_build(folder: Path, views: Sequence[str], *, progress: bool = True) -> PreparedData:
    """Opens a data set; prepares it first if it is missing and `--reader` says how.

    Args:
      folder: the data set's.
      views: the views that it needs; one that was prepared before must hold them all.
      progress: shows bars while it prepares.

    Raises:
      FlagError: a flag has a bad value.
      DataError: the data set is missing, damaged, lacks a view, or was prepared with other flags
        than those on the command line; or its preparation failed.
    """
    if reader_given() and not folder.exists():
        build_data(folder, views, progress=progress)
    prepared = open_prepared(folder)
    for view in views:
        prepared.num_examples(view, "train")  # Raises if the view is not there.
    if reader_given():
        _check_same(prepared)
    return prepared


def describe(metadata: Mapping[str, Any]) -> str:
    """Returns the summary of a prepared data set as text of several lines."""
    if impression_flags.VIEW in metadata["views"]:
        return "\n".join(metadata["summary"])  # It has a line for each split.
    lines = [*metadata["summary"], ""]
    lines.append(f"{'view':<14}{'split':<12}{'examples':>12}{'longest history':>18}{'empty':>10}")
    for view, description in metadata["views"].items():
        for split, counts in description["splits"].items():
            # The first sequence feature is the history.
            longest = next(iter(counts["longest"].values()))
            empty = next(iter(counts["empty"].values()))
            lines.append(
                f"{view:<14}{split:<12}{counts['examples']:>12,}{longest:>18,}{empty:>10,}"
            )
    return "\n".join(lines)


def _beam_options() -> list[str]:
    """Returns Beam's options one by one.

    Raises:
      FlagError: one does not begin with --, or they have no meaning for the engine.
    """
    options = [
        option for text in _BEAM_OPTIONS.value for option in re.split(r",(?=--)", text) if option
    ]
    for option in options:
        if not option.startswith("--"):
            raise program.FlagError(
                f"--beam_options={option}: write Beam's options as Beam does, as in "
                "--beam_options=--runner=DirectRunner."
            )
    if options and _ENGINE.value != "beam":
        raise program.FlagError("--beam_options has no meaning without --engine=beam.")
    return options


def few_shards(data: PreparedData, views: Sequence[str], workers: int) -> list[str]:
    """Returns a line for each view whose files are fewer than the workers, which is no obstacle."""
    if workers == 1:
        return []
    shards = {view: data.num_shards(view, "train") for view in views}
    return [
        f"view {view}: {number} training files for {workers} workers; each reads them all and "
        "parses only its own rows, so that this costs little."
        for view, number in shards.items()
        if number < workers
    ]


def under_raw_dir(path: str) -> str:
    """Returns a path or URL under `--raw_dir`, which may be a URL, too."""
    if "://" in path:
        return path
    if "://" in _RAW_DIR.value:
        return f"{_RAW_DIR.value.rstrip('/')}/{path}"
    return str(Path(_RAW_DIR.value) / path)


def _rooted_inputs() -> list[str]:
    """Returns `--input` with each path, behind its DOMAIN= if it has one, under `--raw_dir`."""
    rooted = []
    for entry in _INPUT.value:
        domain, equals, path = entry.rpartition("=")
        rooted.append(f"{domain}{equals}{under_raw_dir(path)}")
    return rooted


def _provenance(views: Sequence[str]) -> dict[str, Any]:
    source = {"reader": _READER.value, "input": list(_INPUT.value)}
    if impression_flags.VIEW in views:
        return {**source, **impression_flags.provenance()}
    groups = {"read": _READ(), "split": _SPLIT(), "synthetic": _SYNTHETIC()}
    return {**source, **{name: dataclasses.asdict(options) for name, options in groups.items()}}


def _check_same(prepared: PreparedData) -> None:
    """Raises DataError if the data set was prepared with other flags than today's."""
    wanted = _provenance(prepared.views)
    if impression_flags.VIEW not in prepared.views:
        wanted["examples"] = dataclasses.asdict(_EXAMPLES())
    wanted = json.loads(json.dumps(wanted))  # As in the file: tuples become lists.
    found = prepared.metadata["options"]
    for name, value in _flat(wanted).items():
        was = _flat(found).get(name)
        if was != value:
            raise DataError(
                f"{prepared.data_dir}: was prepared with --{name}={was}, but the flags now say "
                f"{value}; convert it again with --overwrite, or use another --data_dir."
            )


def _flat(options: Mapping[str, Any]) -> dict[str, Any]:
    flat = {}
    for name, value in options.items():
        if isinstance(value, Mapping):
            flat.update({f"{name}.{field}": entry for field, entry in value.items()})
        else:
            flat[name] = value
    return flat
