"""A split log as sharded TFRecords, item table and metadata, whole or not at all."""

import contextlib
import ctypes
import dataclasses
import glob
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm

from data_pipelines.coding import user_histories
from data_pipelines.coding.summary import (
    DomainCounts,
    domain_counts,
    overlap_warning,
    summary_lines,
    user_samples,
)
from data_pipelines.coding.vocabulary import ItemTable, write_tokens
from data_pipelines.errors import DataError
from data_pipelines.parts import REPEATED, TOO_FEW
from data_pipelines.prepared.dataset import (
    FORMAT_VERSION,
    ITEMS_FILE,
    METADATA_FILE,
    USERS_FILE,
)
from data_pipelines.prepared.file_checksums import checksums
from data_pipelines.prepared.history_records import history_records
from data_pipelines.prepared.records import RecordBuilder, RecordKind
from data_pipelines.splitting.split_log import SplitLog
from data_pipelines.views.user_records import SPLIT


def check_destination(data_dir: str | Path, overwrite: bool) -> None:
    """Raises DataError if `build` would refuse to write to the folder; touches nothing."""
    data_dir = Path(data_dir)
    if not data_dir.exists() or (data_dir.is_dir() and not any(data_dir.iterdir())):
        return
    if not (data_dir / METADATA_FILE).is_file():
        raise DataError(
            f"{data_dir}: exists and is not a prepared data set, so that it is neither read nor "
            "overwritten; choose another --data_dir or remove it."
        )
    if not overwrite:
        raise DataError(f"{data_dir}: exists; use --overwrite to replace it.")


def clear_leftovers(data_dir: Path) -> None:
    """Removes what killed conversions left beside a folder; for a process that holds it alone.

    A data set that one of them had put aside comes back, if none has taken its place.
    """
    for left in data_dir.parent.glob(f".{glob.escape(data_dir.name)}.unfinished-*"):
        if (left / "old" / METADATA_FILE).exists() and not data_dir.exists():
            os.rename(left / "old", data_dir)
        shutil.rmtree(left, ignore_errors=True)
    for left in data_dir.parent.glob(f".{glob.escape(data_dir.name)}.work-*"):
        shutil.rmtree(left, ignore_errors=True)


def build(
    split_log: SplitLog,
    data_dir: str | Path,
    *,
    overwrite: bool = False,
    num_shards: int = 0,
    provenance: Mapping[str, Any] | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Writes a prepared data set in this process; it appears under `data_dir` in one rename.

    Args:
      split_log: the interactions and their parts.
      data_dir: the folder to make.
      overwrite: replaces a prepared data set that is there. Any other folder is never touched.
      num_shards: files (at most one a user); 0 chooses by the number of users.
      provenance: how the log was read and split; kept in the metadata, under `options`.
      progress: shows a bar.

    Returns:
      The metadata, as in `prepared.json`.

    Raises:
      DataError: the folder may not be written.
    """
    check_destination(data_dir, overwrite)
    log = split_log.log
    numbered = user_histories.number(log, split_log.parts)
    histories = numbered.histories
    content = Content(
        comparable_times=log.comparable_times,
        users=numbered.users,
        items=numbered.items,
        interactions=len(histories.items),
        ratings=histories.ratings is not None,
        negatives=histories.negatives is not None,
        digest=histories.digest(),
        split_kind=split_log.kind,
        repeats=split_log.repeats,
        cut_times=split_log.cut_times,
        dropped=split_log.dropped,
        notes=split_log.notes,
        time_unit=split_log.time_unit,
        samples=user_samples(log),
        counts=domain_counts(log, split_log.parts),
    )

    def write(kind: RecordKind, folder: Path) -> None:
        records = tqdm.tqdm(
            user_histories.records(histories),
            desc=kind.name,
            unit=" users",
            total=len(histories),
            disable=None if progress else True,  # None: where stderr is no terminal
        )
        RecordBuilder(kind, {SPLIT: records}, folder).write(num_shards)

    return assemble(content, data_dir, provenance or {}, write)


@dataclasses.dataclass(frozen=True, eq=False)
class Content:
    """What is known about the interactions of a data set, whichever engine prepares it.

    Attributes:
      comparable_times: as in the log.
      users: raw user ids; user u is users[u - 1].
      items: the item table.
      interactions: how many the split log has.
      ratings: whether it has ratings.
      negatives: whether it brings negatives to rank among.
      digest: `UserHistories.digest` of all users.
      split_kind: `SplitOptions.kind`.
      repeats: as in `SplitOptions`.
      cut_times: as in `SplitLog`.
      dropped: what -> how many.
      notes: what else the log's reader has to tell people, a line each.
      counts: of each domain.
      time_unit: of times, as in the log.
      samples: a few users of each domain.
    """

    comparable_times: bool
    users: Sequence[str]
    items: ItemTable
    interactions: int
    ratings: bool
    negatives: bool
    digest: int
    split_kind: str
    repeats: str
    cut_times: tuple[int, ...]
    dropped: Mapping[str, int]
    notes: Sequence[str]
    counts: DomainCounts
    time_unit: str = "s"
    samples: Sequence[Sequence[str]] = ()


def assemble(
    content: Content,
    data_dir: str | Path,
    provenance: Mapping[str, Any],
    write: Callable[[RecordKind, Path], None],
) -> dict[str, Any]:
    """Puts items, users, records and metadata into a folder that appears in one rename.

    Args:
      content: what is known about the interactions.
      data_dir: the folder to make; a data set that is there is replaced.
      provenance: how the log was read and split.
      write: writes the records into a folder.

    Returns:
      The metadata, as in `prepared.json`.
    """
    kind = history_records(content.ratings, content.negatives)
    metadata = _describe(content, kind, provenance)
    with whole_or_nothing(Path(data_dir)) as unfinished:
        content.items.save(unfinished / ITEMS_FILE)
        write_tokens(unfinished / USERS_FILE, content.users)
        write(kind, unfinished)
        metadata["files"] = checksums(unfinished)
        text = json.dumps(metadata, indent=2, ensure_ascii=False)
        (unfinished / METADATA_FILE).write_text(text + "\n", encoding="utf-8")
    return metadata


def _describe(content: Content, kind: RecordKind, provenance: Mapping[str, Any]) -> dict[str, Any]:
    items = content.items
    digest = hashlib.sha256(content.digest.to_bytes(32, "little"))
    for column in (content.users, items.ids, items.categories):
        digest.update("\n".join(column).encode())
    described = [
        FORMAT_VERSION,
        items.domains,
        content.comparable_times,
        content.split_kind,
        content.repeats,
        content.cut_times,
    ]
    if content.time_unit != "s":  # The fingerprints of others stay what they were.
        described.append(content.time_unit)
    digest.update(json.dumps(described).encode())
    digest.update(np.ascontiguousarray(items.starts).astype(np.int64).tobytes())
    return {
        "format_version": FORMAT_VERSION,
        "log": "interactions",
        "fingerprint": digest.hexdigest(),
        "domains": list(items.domains),
        "comparable_times": content.comparable_times,
        "time_unit": content.time_unit,
        "users": len(content.users),
        "items": items.size,
        "interactions": content.interactions,
        "ratings": content.ratings,
        "negatives": content.negatives,
        "split_kind": content.split_kind,
        "repeats": content.repeats,
        "cut_times": list(content.cut_times),
        "dropped": dict(content.dropped),
        "no_labels": {
            name: {"repeated": int(parts[REPEATED]), "too_few": int(parts[TOO_FEW])}
            for name, parts in zip(items.domains, content.counts.parts, strict=True)
        },
        "summary": [
            *summary_lines(items, content.counts, content.dropped, content.split_kind),
            *overlap_warning(items.domains, content.counts, content.samples),
            *content.notes,
            *_about_times(content),
        ],
        "options": dict(provenance),
        "records": {"name": kind.name, "version": kind.version, "splits": [SPLIT]},
    }


def _about_times(content: Content) -> list[str]:
    if content.time_unit == "s":
        return []
    return [f"times are kept in {content.time_unit}, since some have fractions of a second"]


@contextlib.contextmanager
def whole_or_nothing(data_dir: Path) -> Iterator[Path]:
    """Gives a new folder beside `data_dir` that takes its place in the end, or vanishes."""
    try:
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=f".{data_dir.name}.unfinished-", dir=data_dir.parent))
    except OSError as error:
        raise DataError(f"{data_dir}: cannot be written ({error.strerror}).") from error
    try:
        unfinished = place / "new"
        unfinished.mkdir()
        yield unfinished
        _replace(data_dir, unfinished, aside=place / "old")
    except (OSError, tf.errors.OpError) as error:  # A full disk, above all.
        raise DataError(f"{data_dir}: could not be written ({error}).") from error
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _replace(data_dir: Path, new: Path, aside: Path) -> None:
    """Renames `new` to `data_dir`; what was there goes `aside`, or stays if that fails."""
    if not data_dir.exists():
        os.rename(new, data_dir)
        return
    if _exchanged(new, data_dir):  # Never, not for a moment, is there no data set.
        return
    os.rename(data_dir, aside)
    try:
        os.rename(new, data_dir)
    except BaseException:
        os.rename(aside, data_dir)
        raise


def _exchanged(one: Path, other: Path) -> bool:
    """Gives two folders each other's name in one step, where the system can; returns whether."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    if rename is None:
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0
