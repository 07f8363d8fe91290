"""The flags that say which data to read and how to prepare it, for every launcher that does.

Importing this module defines `--reader`, `--input`, `--raw_dir`, `--data_dir`, `--num_shards`,
`--engine` and `--beam_options`, and the groups of flags of each kind of log.
"""

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from absl import flags

from data_pipelines.errors import DataError
from data_pipelines.prepared.build import clear_leftovers
from data_pipelines.prepared.dataset import PreparedData, open_whole
from launchers import config_flags, folder_lock, impression_flags, interaction_flags, program
from launchers.log_kinds import Conversion, LogKind

KINDS: tuple[LogKind, ...] = (interaction_flags.KIND, impression_flags.KIND)
LOGS = tuple(kind.name for kind in KINDS)
_READER_NAMES = tuple(sorted({reader for kind in KINDS for reader in kind.readers}))

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
    "num_shards", 0, "Files of records, of each split; 0 chooses by size.", lower_bound=0
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
flags.adopt_module_key_flags(interaction_flags)
flags.adopt_module_key_flags(impression_flags)


def reader_given() -> bool:
    """Whether `--reader` says how to prepare a data set."""
    return _READER.value is not None


def refuse_unused(*, titles: bool = False) -> None:
    """Raises FlagError for flags about raw logs that no `--reader` reads.

    Args:
      titles: whether `--raw_dir` has a meaning for `--titles.path`, too.
    """
    if reader_given():
        return
    used = {"raw_dir"} if titles else set()
    plain = [
        holder.name
        for holder in (_INPUT, _RAW_DIR, _NUM_SHARDS, _ENGINE, _BEAM_OPTIONS)
        if holder.present and holder.name not in used
    ]
    groups = [prefix for kind in KINDS for prefix in kind.groups]
    for flag in [*plain, *config_flags.given_flags(groups)]:
        raise program.FlagError(
            f"--{flag} says how to prepare a data set, and without --reader none is prepared: "
            "give --reader, too, or leave it out."
        )


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
    folder: Path, log: str | None = None, *, overwrite: bool = False, progress: bool = True
) -> dict[str, Any]:
    """Reads, splits and writes a data set as the flags say.

    Args:
      folder: where it goes.
      log: one of `LOGS`; None for interactions, or for what the reader reads if it reads no such.
      overwrite: replaces a prepared data set that is there.
      progress: shows bars.

    Returns:
      The metadata, as in `prepared.json`.

    Raises:
      FlagError: `--reader` is missing or a flag has a bad value.
      DataError: bad input or an unwilling folder; nothing has been written.
      HeldError: another process converts to the folder.
    """
    reader = _reader()
    reading = [kind for kind in KINDS if reader in kind.readers]
    kind = reading[0] if log is None else _kind(log)
    if kind not in reading:
        raise program.FlagError(
            f"--reader={reader} reads no {kind.name}, which take "
            f"{', '.join(kind.readers)}; it reads {reading[0].name}."
        )
    _refuse_flags_of_others(kind)
    conversion = Conversion(
        reader=reader,
        inputs=_rooted_inputs(),
        data_dir=folder,
        engine=_ENGINE.value,
        beam_options=_beam_options(),
        overwrite=overwrite,
        num_shards=_NUM_SHARDS.value,
        provenance={**_source(), **_settings(kind)},
        progress=progress,
    )
    with folder_lock.held(folder, "converts"):
        clear_leftovers(folder)
        return kind.build(conversion)


def open_or_build(folder: Path, log: str, *, progress: bool = True) -> PreparedData:
    """Opens a data set; prepares it first if it is missing and `--reader` says how.

    Args:
      folder: the data set's.
      log: one of `LOGS`, what it must be made of.
      progress: shows bars while it prepares.

    Raises:
      FlagError: a flag has a bad value.
      DataError: the data set is missing, damaged, of another kind of log, or was prepared with
        other flags than those on the command line; or its preparation failed.
    """
    if reader_given() and not folder.exists():
        build_data(folder, log, progress=progress)
    prepared = open_whole(folder, log)
    if reader_given():
        _check_same(prepared)
    return prepared


def _kind(log: str) -> LogKind:
    """Returns the kind of log of a name."""
    return next(kind for kind in KINDS if kind.name == log)


def _refuse_flags_of_others(kind: LogKind) -> None:
    for other in KINDS:
        if other is not kind:
            other.refuse_flags(kind.name)


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
                "--beam_options=--runner=FlinkRunner."
            )
    if options and _ENGINE.value != "beam":
        raise program.FlagError("--beam_options has no meaning without --engine=beam.")
    return options


def few_files(prepared: PreparedData, workers: int) -> list[str]:
    """Returns a line if the records' files are fewer than the workers, which is no obstacle."""
    files = min(len(prepared.files(split)) for split in prepared.record_splits)
    if workers == 1 or files >= workers:
        return []
    return [
        f"{files} files of records for {workers} workers; each parses them all and makes only its "
        "own rows, so that this costs little."
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
        domain, equals, path = entry.partition("=")
        # An = behind a slash, or of a file that is there, belongs to the path.
        if not equals or re.search(r"[/\\]", domain) or Path(under_raw_dir(entry)).exists():
            domain, equals, path = "", "", entry
        rooted.append(f"{domain}{equals}{under_raw_dir(path)}")
    return rooted


def _source() -> dict[str, Any]:
    """What a data set is made of, for its metadata."""
    return {"reader": _READER.value, "input": list(_INPUT.value)}


def _reader() -> str:
    if _READER.value is None:
        raise program.FlagError(f"--reader is missing: it takes {', '.join(_READER_NAMES)}.")
    return _READER.value


def _settings(kind: LogKind) -> dict[str, Any]:
    """How a data set is made, for its metadata: the values of the kind's flags by prefix."""
    options = kind.options(_reader())
    return {prefix: dataclasses.asdict(values) for prefix, values in options.items()}


def _check_same(prepared: PreparedData) -> None:
    """Raises DataError if the data set was prepared with other flags than today's."""
    found = prepared.metadata["options"]
    _check_found(prepared, found, _source())  # First: another reader has other options.
    kind = _kind(prepared.log)
    _refuse_flags_of_others(kind)
    _check_found(prepared, found, _settings(kind))


def _check_found(
    prepared: PreparedData, found: Mapping[str, Any], wanted: Mapping[str, Any]
) -> None:
    # As in the file: tuples become lists.
    found, wanted = (_flat(json.loads(json.dumps(options))) for options in (found, wanted))
    for name, value in wanted.items():
        was = found.get(name)
        if name == "input" and _same_files(was, value):
            continue
        if was != value and name in found:
            raise DataError(
                f"{prepared.data_dir}: was prepared with --{name}={was}, but the flags now say "
                f"{value}; convert it again with --overwrite, or use another --data_dir."
            )


def _same_files(was: Any, value: Any) -> bool:
    """Whether two lists of inputs differ only in how their paths are spelt."""
    if not (isinstance(was, list) and isinstance(value, list) and len(was) == len(value)):
        return False

    def plain(entry: str) -> tuple[str, str]:
        domain, _, path = entry.rpartition("=")
        return domain, os.path.realpath(under_raw_dir(path))

    return [plain(str(entry)) for entry in was] == [plain(str(entry)) for entry in value]


def _flat(options: Mapping[str, Any]) -> dict[str, Any]:
    flat = {}
    for name, value in options.items():
        if isinstance(value, Mapping):
            flat.update({f"{name}.{field}": entry for field, entry in value.items()})
        else:
            flat[name] = value
    return flat
