"""An impression log as a prepared data set: read once, spooled to disk, packed into records."""

import functools
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tqdm

from data_pipelines.errors import DataError
from data_pipelines.impressions import field_values
from data_pipelines.impressions.draws import RowDraws
from data_pipelines.impressions.field_values import FieldValues
from data_pipelines.impressions.log import TASKS, Columns, ImpressionLog
from data_pipelines.impressions.options import ImpressionSplitOptions
from data_pipelines.logs import PARTS
from data_pipelines.prepared.build import check_destination, whole_or_nothing
from data_pipelines.prepared.dataset import FORMAT_VERSION, METADATA_FILE
from data_pipelines.prepared.file_checksums import checksums
from data_pipelines.prepared.impression_records import KIND, blocks, stored_split
from data_pipelines.prepared.records import RecordBuilder
from data_pipelines.views.block_batches import ROWS_PER_BLOCK
from data_pipelines.views.impression import ROLES

# Rows that are put into random order at once before they are packed into blocks; TFDS then
# shuffles the blocks, and a training epoch the rows of many blocks.
_SHUFFLED_ROWS = 1024 * ROWS_PER_BLOCK


def build(
    log: ImpressionLog,
    split: ImpressionSplitOptions,
    data_dir: str | Path,
    *,
    field_sizes: tuple[int, ...] = (),
    overwrite: bool = False,
    num_shards: int = 0,
    provenance: Mapping[str, Any] | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Writes a prepared data set with view `impression`; it appears in one rename.

    Args:
      log: the impressions; they are read once.
      split: what becomes of the rows.
      data_dir: the folder to make.
      field_sizes: of the categorical columns, if the log has been checked against such; empty for
        the greatest values plus one.
      overwrite: replaces a prepared data set that is there. Any other folder is never touched.
      num_shards: files per split; 0 chooses by size.
      provenance: how the log was read and split; kept in the metadata, under `options`.
      progress: shows bars.

    Returns:
      The metadata, as in `prepared.json`.

    Raises:
      DataError: the folder may not be written, the input is bad, or nothing is left to train on.
    """
    check_destination(data_dir, overwrite)
    if log.domains:
        _check_target(log.domains, split.target)
    data_dir = Path(data_dir)
    with whole_or_nothing(data_dir) as unfinished:
        scratch = unfinished.parent / "scratch"
        scratch.mkdir()
        draws = RowDraws(split)
        spools: dict[str, _Spool] = {}
        domains = dict.fromkeys(log.domains)
        with tqdm.tqdm(desc="read", unit=" rows", disable=None if progress else True) as bar:
            for chunk in log.chunks(scratch):
                domains[chunk.domain] = None
                role = "target" if chunk.domain == split.target else "source"
                for part, rows in draws.parts(chunk):
                    if len(rows):
                        name = stored_split(role, part)
                        if name not in spools:
                            counted = bool(log.vocabularies) and part == "train"
                            spools[name] = _Spool(scratch / f"{name}.rows", log.columns, counted)
                        spools[name].add(rows)
                bar.update(len(chunk.rows))
        _check_target(tuple(domains), split.target)
        if not any(stored_split(role, "train") in spools for role in ROLES):
            raise DataError("the input leaves no row to train on: check --input.")
        order = [stored_split(role, part) for role in ROLES for part in PARTS]
        filled = {name: spools[name] for name in order if name in spools}
        fields = _field_values(log, filled)
        examples = {
            name: spool.records(split.seed, progress and name, fields)
            for name, spool in filled.items()
        }
        RecordBuilder(KIND, examples, unfinished).write(num_shards)
        sizes = field_sizes or _sizes(filled)
        if fields:
            sizes = tuple(len(of.texts) + 1 for of in fields)
            field_values.save(unfinished / field_values.FILE, log.columns.categorical, fields)
        metadata = _describe(log, split, tuple(domains), filled, sizes, fields)
        metadata["dropped"] = dict(log.left_out + draws.left_out)
        if log.bad_lines.count:
            metadata["dropped"]["bad lines"] = log.bad_lines.count
        metadata["options"] = dict(provenance or {})
        metadata["summary"] = _summary(metadata)
        metadata["summary"] += [f"{what}: {count:,}" for what, count in log.remarks.items()]
        metadata["files"] = checksums(unfinished)
        text = json.dumps(metadata, indent=2, ensure_ascii=False)
        (unfinished / METADATA_FILE).write_text(text + "\n", encoding="utf-8")
    return metadata


class _Spool:
    """The rows of one split in a temporary file, and what is counted over them.

    Attributes:
      rows, clicks, conversions: their numbers.
      greatest: int64 [F], greatest value of each categorical column.
      value_counts: int64 [values] of each categorical column, rows with each value, where they are
        counted.
    """

    def __init__(self, path: Path, columns: Columns, counted: bool) -> None:
        self.rows = self.clicks = self.conversions = 0
        self.greatest = np.zeros(len(columns.categorical), np.int64)
        self.value_counts = [np.zeros(0, np.int64)] * (len(columns.categorical) if counted else 0)
        self._row_type = columns.row_type()
        self._path = path
        self._digest = hashlib.sha256()

    def add(self, rows: np.ndarray) -> None:
        """Appends rows."""
        self.rows += len(rows)
        self.clicks += int(rows["click"].sum())
        self.conversions += int(rows["conversion"].sum())
        self.greatest = np.maximum(self.greatest, rows["categorical"].max(axis=0))
        for place, counts in enumerate(self.value_counts):
            self.value_counts[place] = _added(counts, np.bincount(rows["categorical"][:, place]))
        self._digest.update(np.ascontiguousarray(rows).view(np.uint8).data)
        with self._path.open("ab") as file:
            rows.tofile(file)

    @property
    def digest(self) -> str:
        """Hex sha256 of the rows, in their order."""
        return self._digest.hexdigest()

    def counts(self) -> dict[str, Any]:
        """The split's entry of the metadata."""
        return {"rows": self.rows, "clicks": self.clicks, "conversions": self.conversions}

    def records(
        self, seed: int, title: str | bool, fields: Sequence[FieldValues]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yields (key, block) with a bar under a title, and removes the file.

        With vocabularies, the numbers of categorical values become their ids.
        """
        rng = np.random.default_rng([seed, self.rows])
        key = 0
        with tqdm.tqdm(
            total=self.rows, desc=str(title), unit=" rows", disable=None if title else True
        ) as bar:
            for start in range(0, self.rows, _SHUFFLED_ROWS):
                offset = start * self._row_type.itemsize
                rows = np.fromfile(self._path, self._row_type, _SHUFFLED_ROWS, offset=offset)
                for place, of in enumerate(fields):
                    rows["categorical"][:, place] = of.ids[rows["categorical"][:, place]]
                for block in blocks(rows[rng.permutation(len(rows))]):
                    yield str(key), block
                    key += 1
                bar.update(len(rows))
        self._path.unlink()


def _added(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The sum of counts of which one may be longer."""
    if len(one) < len(other):
        one, other = other, one
    total = one.copy()
    total[: len(other)] += other
    return total


def _field_values(log: ImpressionLog, spools: Mapping[str, _Spool]) -> list[FieldValues]:
    """The vocabulary of each categorical column, by what trains, or nothing."""
    counted = [spool.value_counts for spool in spools.values() if spool.value_counts]
    return [
        field_values.frequent(
            growing,
            functools.reduce(_added, (counts[place] for counts in counted)),
            log.least_count,
        )
        for place, growing in enumerate(log.vocabularies)
    ]


def _check_target(domains: tuple[str, ...], target: str) -> None:
    if target and target not in domains:
        raise DataError(
            f"--impression_split.target={target}: the log has no such domain; it has "
            f"{', '.join(domains)}."
        )


def _sizes(spools: Mapping[str, _Spool]) -> tuple[int, ...]:
    greatest = np.max([spool.greatest for spool in spools.values()], axis=0)
    return tuple((greatest + 1).tolist())


def _describe(
    log: ImpressionLog,
    split: ImpressionSplitOptions,
    domains: tuple[str, ...],
    spools: Mapping[str, _Spool],
    sizes: tuple[int, ...],
    fields: Sequence[FieldValues],
) -> dict[str, Any]:
    digests = {name: spool.digest for name, spool in spools.items()}
    described = [FORMAT_VERSION, domains, split.target, split.seed, log.columns, sizes, digests]
    if fields:
        described.append([of.texts for of in fields])
    if len(log.labels) < len(TASKS):
        described.append(log.labels)
    return {
        "format_version": FORMAT_VERSION,
        "log": "impressions",
        "fingerprint": hashlib.sha256(json.dumps(described).encode()).hexdigest(),
        "domains": list(domains),
        "sources": [name for name in domains if name != split.target],
        "target": split.target,
        "categorical": list(log.columns.categorical),
        "numerical": list(log.columns.numerical),
        "field_sizes": list(sizes),
        "least_count": log.least_count,
        "labels": list(log.labels),
        "splits": {name: spool.counts() for name, spool in spools.items()},
        "records": {"name": KIND.name, "version": KIND.version, "splits": list(spools)},
    }


def _summary(metadata: Mapping[str, Any]) -> list[str]:
    """A line for each split, and what was dropped."""
    lines = [f"{'impressions':<20}{'rows':>14}{'clicks':>12}{'conversions':>14}"]
    for name, counts in metadata["splits"].items():
        lines.append(
            f"{name:<20}{counts['rows']:>14,}{counts['clicks']:>12,}{counts['conversions']:>14,}"
        )
    lines.append(
        f"{len(metadata['categorical'])} categorical columns of "
        f"{sum(metadata['field_sizes']):,} values, {len(metadata['numerical'])} numerical columns"
    )
    if metadata["least_count"]:
        lines.append(
            f"each column has a vocabulary of the values that {metadata['least_count']:,} or more "
            "training rows have; id 0 stands for all others"
        )
    dropped: Counter[str] = Counter(metadata["dropped"])
    lines += [f"left out: {reason}: {count:,}" for reason, count in dropped.items()]
    return lines
