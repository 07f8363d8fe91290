"""The folder that all workers reach: what one step of a conversion leaves for the next."""

import dataclasses
import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

_RAW = CompressionTypes.UNCOMPRESSED


@dataclasses.dataclass(frozen=True)
class WorkFolder:
    """Reads and writes files by their names; on any file system that Beam knows.

    A file is always written by one function of the data alone: a step that a runner repeats, or
    runs twice at the same time, writes the same file again.

    Attributes:
      path: the folder, a path or a URL.
    """

    path: str

    def save_rows(self, name: str, rows: pd.DataFrame) -> None:
        """Writes a table; its index is not kept."""
        self._write(name, pack(rows))

    def load_rows(self, name: str) -> pd.DataFrame:
        """Reads what `save_rows` wrote."""
        return unpack([self._read(name)])

    def save_arrays(self, name: str, **arrays: np.ndarray) -> None:
        """Writes arrays of numbers."""
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        self._write(name, buffer.getvalue())

    def load_arrays(self, name: str) -> dict[str, np.ndarray]:
        """Reads what `save_arrays` wrote."""
        with np.load(io.BytesIO(self._read(name)), allow_pickle=False) as arrays:
            return dict(arrays)

    def save_json(self, name: str, value: Any) -> None:
        """Writes what JSON can hold."""
        self._write(name, json.dumps(value).encode())

    def load_json(self, name: str) -> Any:
        """Reads what `save_json` wrote."""
        return json.loads(self._read(name))

    def _write(self, name: str, content: bytes) -> None:
        with FileSystems.create(FileSystems.join(self.path, name), compression_type=_RAW) as file:
            file.write(content)

    def _read(self, name: str) -> bytes:
        with FileSystems.open(FileSystems.join(self.path, name), compression_type=_RAW) as file:
            return file.read()


def pack(rows: pd.DataFrame) -> bytes:
    """A table as bytes, without its index; for files and between workers."""
    return _packed(_table(rows))


def packed_by(number: np.ndarray, rows: pd.DataFrame) -> Iterator[tuple[int, bytes]]:
    """Cuts a table into one for each number.

    Args:
      number: int [rows], whose table each row goes to.
      rows: not empty.

    Yields:
      (number, packed rows in their order), for the numbers that occur.
    """
    order = np.argsort(number, kind="stable")
    numbers, starts = np.unique(number[order], return_index=True)
    table = _table(rows.iloc[order])
    for own, start, end in zip(numbers, starts, [*starts[1:], len(rows)], strict=True):
        yield int(own), _packed(table.slice(start, end - start))


def _table(rows: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(rows, preserve_index=False).replace_schema_metadata()


def _packed(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def unpack(contents: list[bytes]) -> pd.DataFrame:
    """What `pack` made of several tables with the same columns, as one table."""
    tables = [pa.ipc.open_stream(content).read_all() for content in contents]
    return pa.concat_tables(tables, promote_options="permissive").to_pandas()
