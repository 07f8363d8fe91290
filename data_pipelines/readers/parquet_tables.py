"""Parquet tables, with the ids and types that the file has rather than those pandas would make."""

import pathlib
from collections.abc import Callable, Sequence

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from data_pipelines.errors import DataError
from data_pipelines.readers.text_files import require_file


def read_columns(
    path: pathlib.Path, names: Callable[[list[str]], Sequence[str]]
) -> tuple[pd.DataFrame, Callable[[int], str]]:
    """Reads columns of a parquet file.

    Args:
      path: the file.
      names: gets the names of its columns and gives those to read (or raises).

    Returns:
      The columns; and a function that says "FILE, row N" for a row (0-based) of them.

    Raises:
      DataError: the file is missing, no parquet file, or has no rows.
    """
    require_file(path)
    try:
        file = pa.parquet.ParquetFile(path)
        wanted = list(names(file.schema_arrow.names))
        table = file.read(columns=wanted)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: not a parquet file: {' '.join(str(error).split())}") from error
    if not table.num_rows:
        raise DataError(f"{path}: the file has no rows.")
    return plain_rows(table), lambda row: f"{path}, row {row + 1}"


def plain_rows(table: pa.Table) -> pd.DataFrame:
    """The rows of a parquet file, with column types as Arrow has them.

    They are not what the pandas that wrote the file had.
    """
    for k, field in enumerate(table.schema):
        # An integer column with gaps would become floats in pandas, and ids such as "12.0".
        if pa.types.is_integer(field.type):
            table = table.set_column(k, field.name, pc.cast(table[k], pa.string()))
        elif pa.types.is_dictionary(field.type):
            table = table.set_column(k, field.name, table[k].cast(field.type.value_type))
    return table.to_pandas(ignore_metadata=True)
