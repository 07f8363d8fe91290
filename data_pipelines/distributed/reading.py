"""From input files to interactions grouped by user, on any number of workers.

A group holds all interactions of the users whose ids hash to its number, in the order of the
input. What concerns the whole input comes to the launching machine as a few facts per piece.
"""

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

import apache_beam as beam
import numpy as np
import pandas as pd
from apache_beam.options.pipeline_options import PipelineOptions

from data_pipelines.distributed import pieces
from data_pipelines.distributed.pieces import Piece, Source
from data_pipelines.distributed.running import Gather, running
from data_pipelines.distributed.work_folder import WorkFolder, packed_by, unpack
from data_pipelines.errors import DataError
from data_pipelines.logs import InteractionLog
from data_pipelines.readers.assembly import (
    UNRATED,
    check_same_columns,
    joined_spans,
    no_interactions,
    read_bad_lines,
    remarked,
)
from data_pipelines.readers.csv_text import no_rows
from data_pipelines.readers.delimited import CsvOptions, domain_names, table_formats
from data_pipelines.times import check_one_clock, constant_times, rescaled, unit_of

# A group is sorted and split in the memory of one worker.
_BYTES_PER_GROUP = 16 << 20
_FEWEST_GROUPS = 8
_ROWS_PER_PIECE = 1 << 19


@dataclasses.dataclass(frozen=True, eq=False)
class GroupedLog:
    """What is known about a log whose interactions lie in the work folder.

    Attributes:
      groups: number of files `group-<number>`; one without users is missing in `present`.
      domains: as in `InteractionLog`.
      comparable_times: as in `InteractionLog`.
      skipped_lines: as in `InteractionLog`.
      left_out: as in `InteractionLog`.
      notes: as in `InteractionLog`.
      columns: those of the log.
      time_unit: as in `InteractionLog`.
      block_places: int64 [blocks], ascending; the place of each block's first row.
      block_rows: int64 [blocks], the number of rows before each block. Empty if the rows have
        times.
      block_factors: int64 [blocks], what each block's times are multiplied by to be in the log's
        unit. Empty if all are already.
    """

    groups: tuple[int, ...]
    domains: tuple[str, ...]
    comparable_times: bool
    skipped_lines: int
    left_out: Mapping[str, int]
    notes: tuple[str, ...]
    columns: Set[str]
    time_unit: str
    block_places: np.ndarray
    block_rows: np.ndarray
    block_factors: np.ndarray

    def load_group(self, work: WorkFolder, group: int) -> pd.DataFrame:
        """The interactions of a group's users in the order of the input, as in a log."""
        rows = work.load_rows(f"group-{group}")
        places = rows["place"].to_numpy()
        block = np.searchsorted(self.block_places, places, side="right") - 1
        if len(self.block_rows):
            # Without times, the number of a row in the whole input takes their place.
            rows["timestamp"] = self.block_rows[block] + places - self.block_places[block]
        elif len(self.block_factors):
            rows["timestamp"] *= self.block_factors[block]
        if "category" in rows:
            rows["category"] = rows["category"].fillna("")
        return rows[[name for name in rows if name in self.columns]]


def group_tables(
    inputs: Sequence[str], read: CsvOptions, work: WorkFolder, options: PipelineOptions
) -> GroupedLog:
    """Reads csv, tsv and parquet tables as `readers.delimited` does, piece by piece.

    Raises:
      DataError: bad input, as the reader says it.
    """
    formats = table_formats(inputs, read)
    sources: list[Source] = []
    todo: list[Piece] = []
    for number, table in enumerate(formats):
        source, found = pieces.open_source(table, number)
        sources.append(source)
        todo += found
    check_same_columns([_canonical_columns(source) for source in sources])
    named = () if _domains_stand_in_a_column(sources) else domain_names(formats, ())
    groups = _number_of_groups(sum(source.size for source in sources))

    def read_piece(piece: Piece) -> Iterator[Any]:
        for block in pieces.read_piece(piece, sources[piece.source], named):
            yield beam.pvalue.TaggedOutput("facts", block.facts)
            yield from _by_group(block.rows, groups)

    with running(options) as pipeline:
        outputs = (
            pipeline
            | beam.Create(todo)
            | beam.Reshuffle()
            | "Read" >> beam.FlatMap(read_piece).with_outputs("facts", main="rows")
        )
        _ = outputs.facts | "Facts" >> Gather(work, "blocks")
        _write_groups(outputs.rows, work)
    blocks = sorted(work.load_json("blocks"), key=lambda facts: facts["place"])
    skipped = _check(blocks, sources, read)
    seen = (name for facts in blocks for name in facts["domains"])
    left_out, remarks = (_summed(blocks, name) for name in ("left_out", "remarks"))
    columns = {name for source in sources for name in _canonical_columns(source)}
    unrated = sum(facts["unrated"] for facts in blocks)
    good = sum(facts["good"] for facts in blocks)
    if "rating" in columns and unrated:
        columns.remove("rating")
        remarks[UNRATED] += unrated
    digits, factors, spans = _factors(
        blocks, check=bool(read.timestamp_column) and not read.time_unit
    )
    rows = [] if read.timestamp_column else [0, *(facts["rows"] for facts in blocks)]
    return GroupedLog(
        groups=tuple(sorted(work.load_json("groups"))),
        domains=domain_names(formats, seen, left_out),
        comparable_times=bool(read.timestamp_column),
        skipped_lines=skipped,
        left_out=left_out,
        notes=(
            *remarked(remarks),
            *(constant_times(spans, good) if read.timestamp_column else ()),
        ),
        columns=columns,
        time_unit=unit_of(digits),
        block_places=np.array([facts["place"] for facts in blocks], np.int64),
        block_rows=np.cumsum(rows)[:-1],
        block_factors=factors,
    )


def _factors(
    blocks: Sequence[Mapping[str, Any]], check: bool
) -> tuple[int, np.ndarray, dict[str, tuple[int, int]]]:
    """The digits of the log's times, what each block's are multiplied by to have as many; spans.

    Raises:
      DataError: a time is too great for that, or `check` is true and the domains' times cannot be
        of one clock.
    """
    digits = max(facts["digits"] for facts in blocks)
    spans: dict[str, tuple[int, int]] = {}
    for facts in blocks:
        for span in facts["spans"].values():
            rescaled(np.array(span), facts["digits"], digits)
        factor = 10 ** (digits - facts["digits"])
        own = {
            name: (first * factor, last * factor) for name, (first, last) in facts["spans"].items()
        }
        spans = joined_spans(spans, [digits], own, digits)
    if check:
        check_one_clock(spans)
    factors = np.array([10 ** (digits - facts["digits"]) for facts in blocks], np.int64)
    return digits, factors if (factors != 1).any() else factors[:0], spans


def group_log(log: InteractionLog, work: WorkFolder, options: PipelineOptions) -> GroupedLog:
    """Hands a log that was read on the launching machine to the workers."""
    rows = log.interactions
    groups = _number_of_groups(int(rows["item_id"].size) * 32)
    starts = range(0, len(rows), _ROWS_PER_PIECE)
    for number, start in enumerate(starts):
        work.save_rows(f"log-{number}", _with_places(rows.iloc[start : start + _ROWS_PER_PIECE]))

    def read_piece(number: int) -> Iterator[tuple[int, bytes]]:
        rows = work.load_rows(f"log-{number}")
        yield from _by_group(rows.set_index("place"), groups)

    with running(options) as pipeline:
        tables = (
            pipeline
            | beam.Create(range(len(starts)))
            | beam.Reshuffle()
            | "Read" >> beam.FlatMap(read_piece)
        )
        _write_groups(tables, work)
    return GroupedLog(
        groups=tuple(sorted(work.load_json("groups"))),
        domains=log.domains,
        comparable_times=log.comparable_times,
        skipped_lines=log.skipped_lines,
        left_out=log.left_out,
        notes=log.notes,
        columns={*rows},
        time_unit=log.time_unit,
        block_places=np.array([0], np.int64),
        block_rows=np.array([], np.int64),
        block_factors=np.array([], np.int64),
    )


def _number_of_groups(size: int) -> int:
    return max(_FEWEST_GROUPS, -(-size // _BYTES_PER_GROUP))


def _canonical_columns(source: Source) -> list[str]:
    table = source.table
    columns = [name for name in source.chosen.values() if name != "event"]
    columns += ["rating"] if table.options.event_weights else []
    columns += ["part"] if table.entry.part else []
    columns += ["category"] if table.categories is not None else []
    return [*dict.fromkeys((*columns, "domain", "timestamp"))]


def _domains_stand_in_a_column(sources: Sequence[Source]) -> bool:
    options = sources[0].table.options
    return options.domain_by == "column" and not options.domains


def _by_group(rows: pd.DataFrame, groups: int) -> Iterator[tuple[int, bytes]]:
    """Yields (group, packed rows) for the groups that have users among the rows."""
    if rows.empty:
        return
    group = pd.util.hash_array(rows["user_id"].to_numpy(dtype=object)) % groups
    yield from packed_by(group, _with_places(rows))


def _with_places(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with their index as a column `place`."""
    return rows.rename_axis("place").reset_index()


def _write_groups(tables: beam.PCollection, work: WorkFolder) -> None:
    """Writes `group-<number>` for each group, and `groups`, their numbers."""

    def write(group: int, contents: Iterable[bytes]) -> int:
        rows = unpack(list(contents))
        order = np.argsort(rows["place"].to_numpy(), kind="stable")
        work.save_rows(f"group-{group}", rows.iloc[order])
        return group

    written = tables | "Group" >> beam.GroupByKey() | "Write" >> beam.MapTuple(write)
    _ = written | "Groups" >> Gather(work, "groups")


def _summed(blocks: Sequence[Mapping[str, Any]], name: str) -> Counter[str]:
    total: Counter[str] = Counter()
    for facts in blocks:
        total.update(facts[name])
    return total


def _check(blocks: Sequence[Mapping[str, Any]], sources: Sequence[Source], read: CsvOptions) -> int:
    """Raises a DataError for what is wrong with the input; returns the number of bad lines."""
    lines = {source.number: source.header_lines for source in sources}
    rows = dict.fromkeys(lines, 0)
    problems: list[str] = []
    for facts in blocks:
        number = pieces.source_number(facts["place"])
        location = sources[number].table.entry.location
        if facts["fatal"]:
            raise DataError(_located(facts["fatal"], location, lines[number]))
        if facts["problem"]:
            problems.append(_located(facts["problem"], location, lines[number]))
        lines[number] += facts["lines"]
        rows[number] += facts["rows"]
    bad_lines = read_bad_lines(read)
    bad = sum(facts["bad"] for facts in blocks)
    if bad:
        bad_lines.add(bad, lambda: problems[0], sum(lines.values()))
    for source in sources:
        if not rows[source.number]:
            raise no_rows(source.table.entry.location)
    if not any(facts["good"] for facts in blocks):
        raise no_interactions(_summed(blocks, "left_out"))
    return bad


def _located(message: str, location: str, lines_before: int) -> str:
    """Names the line of the file where a message counts from the beginning of a piece."""
    mark = pieces.LINE_MARK
    found = re.match(f"{mark}([0-9]+){mark}", message)
    if not found:
        return message
    return f"{location}, line {lines_before + int(found[1])}{message[found.end() :]}"
