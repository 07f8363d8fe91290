"""Parquet tables, cell by cell as csv would have them."""

import pathlib
from collections.abc import Callable, Sequence

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from data_pipelines.errors import DataError
from data_pipelines.readers.cells import table_cells
from data_pipelines.readers.text_files import require_file


def read_columns(
    path: pathlib.Path, names: Callable[[list[str]], Sequence[str]], list_separator: str = "|"
) -> tuple[pd.DataFrame, Callable[[int], str]]:
    """Reads columns of a parquet file.

    Args:
      path: the file.
      names: gets the names of its columns and gives those to read (or raises).
      list_separator: what joins the texts of a list.

    Returns:
      The columns; and a function that says "FILE, row N" for a row (0-based) of them.

    Raises:
      DataError: the file is missing, no parquet file, has no rows or a column of a type that no
        cell has.
    """
    require_file(path)
    try:
        with pa.parquet.ParquetFile(path) as file:
            wanted = list(names(file.schema_arrow.names))
            table = file.read(columns=wanted)
    except (pa.ArrowException, OSError) as error:
        raise not_parquet(path, error) from error
    if not table.num_rows:
        raise DataError(f"{path}: the file has no rows.")
    return table_cells(table, str(path), list_separator), lambda row: f"{path}, row {row + 1}"


def not_parquet(name: object, error: Exception) -> DataError:
    """The error for a file that Arrow cannot read as parquet."""
    return DataError(f"{name}: not a parquet file: {' '.join(str(error).split())}")
