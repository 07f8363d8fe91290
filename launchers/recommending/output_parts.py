"""A large table that is written piece by piece, so that a killed program goes on where it was.

Pieces lie in a hidden folder beside the table, each whole or not there; at the end they become one
file, which appears in one rename.
"""

import collections
import functools
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from data_pipelines.errors import DataError
from tfcdr.runs.state_files import naming_unwritable

FORMATS = (".parquet", ".csv")
_SETTINGS = "settings.json"


def check_destination(path: Path, overwrite: bool) -> None:
    """Raises DataError if a table cannot be written there; touches nothing."""
    if path.suffix.lower() not in FORMATS:
        raise DataError(f"{path}: a table's name ends with {' or '.join(FORMATS)}.")
    if path.is_dir() or (path.exists() and not overwrite):
        raise DataError(f"{path}: exists; use --overwrite to replace it, or give another --output.")


class OutputParts:
    """The pieces of one table, numbered from 0."""

    def __init__(self, path: Path, settings: Mapping[str, Any], schema: pa.Schema) -> None:
        """Opens the folder of pieces; those of another command are removed.

        Args:
          path: of the table, .parquet or .csv.
          settings: what the pieces depend on, as JSON keeps it.
          schema: the table's.

        Raises:
          RunError: the folder cannot be written.
        """
        self._path, self._schema = path, schema
        self._is_csv = path.suffix.lower() == ".csv"
        self.folder = path.parent / f".{path.name}.parts"
        with naming_unwritable(self.folder):
            if self._settings() != json.loads(json.dumps(settings)):
                shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write(self.folder / _SETTINGS, lambda to: to.write_text(json.dumps(settings)))

    def __contains__(self, number: int) -> bool:
        return self._part(number).exists()

    def add(self, number: int, table: pa.Table, counts: Mapping[str, int]) -> None:
        """Writes a piece, and what it counts, which `finish` adds up.

        Raises:
          RunError: the folder cannot be written.
        """
        with naming_unwritable(self.folder):
            self._write(self._counts(number), lambda to: to.write_text(json.dumps(counts)))
            self._write(self._part(number), functools.partial(self._write_table, table, number))

    def _write_table(self, table: pa.Table, number: int, path: Path) -> None:
        if self._is_csv:
            options = pa_csv.WriteOptions(include_header=number == 0)
            pa_csv.write_csv(table, path, write_options=options)
        else:
            pq.write_table(table, path)

    def finish(self, number: int) -> dict[str, int]:
        """Makes one file of so many pieces, removes them and returns what they count in all.

        Raises:
          RunError: the file cannot be written.
        """
        with naming_unwritable(self._path):
            whole = self.folder / "whole"
            if self._is_csv:
                with whole.open("wb") as file:
                    for part in range(number):
                        with self._part(part).open("rb") as piece:
                            shutil.copyfileobj(piece, file)
            else:
                # A row group a piece.
                with pq.ParquetWriter(whole, self._schema) as writer:
                    for part in range(number):
                        writer.write_table(pq.read_table(self._part(part), schema=self._schema))
            total: collections.Counter[str] = collections.Counter()
            for part in range(number):
                total.update(json.loads(self._counts(part).read_text()))
            os.replace(whole, self._path)
            shutil.rmtree(self.folder, ignore_errors=True)
        return dict(total)

    def _counts(self, number: int) -> Path:
        return self.folder / f"part-{number:06d}.json"

    def _part(self, number: int) -> Path:
        return self.folder / f"part-{number:06d}{self._path.suffix.lower()}"

    def _settings(self) -> Any:
        try:
            return json.loads((self.folder / _SETTINGS).read_text())
        except (OSError, ValueError):
            return None

    def _write(self, path: Path, write: Any) -> None:
        unfinished = path.with_name(f"{path.name}.unfinished")
        write(unfinished)
        os.replace(unfinished, path)
