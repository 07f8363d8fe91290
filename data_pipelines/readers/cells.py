"""One rule for the cells of every table, whatever file it stands in.

A missing value is an empty text: nothing between two separators, a null or NaN of parquet, a null
or a key left out of JSON. Numbers are the text that a csv file would have: whole ones, floats among
them, without a point; no other value passes through a float.
"""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from data_pipelines.errors import DataError

# Above this a float64 does not tell whole numbers apart.
_EXACT = 2.0**53
# An id as pandas writes it in a column that had a gap.
_FLOAT_ID = r"^-?[0-9]+\.0$"


def table_cells(table: pa.Table, where: str, list_separator: str = "|") -> pd.DataFrame:
    """Makes the cells of a parquet table texts; points in time stay such.

    Args:
      table: columns of any type.
      where: the file, for messages.
      list_separator: what joins the texts of a list.

    Returns:
      str columns, with "" for a missing value; of points in time, datetime64 with NaT.

    Raises:
      DataError: a column is of a type that no cell of a log has, or no UTF-8.
    """
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        try:
            columns[name] = _cells(column, list_separator)
        except (pa.ArrowException, UnicodeDecodeError) as error:
            reason = " ".join(str(error).split())
            raise DataError(f"{where}: column {name!r}, of {column.type}: {reason}.") from error
        except TypeError as error:
            raise DataError(
                f"{where}: column {name!r} is of {column.type}, which is no text, number or time; "
                "convert it."
            ) from error
    return pd.DataFrame(columns, copy=False)


def _cells(column: pa.ChunkedArray, list_separator: str) -> pd.Series:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _cells(column.cast(kind.value_type), list_separator)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        if pa.types.is_date(kind):
            column = column.cast(pa.timestamp("s" if pa.types.is_date32(kind) else "ms"))
        return column.to_pandas()
    if pa.types.is_null(kind):
        return pd.Series([""] * len(column), dtype="str")
    if pa.types.is_floating(kind):
        texts = _float_texts(column)
    elif _is_list(kind) and _is_text(kind.value_type):
        joined = column.cast(pa.list_(pa.string()))
        texts = pc.binary_join(joined, list_separator)
    elif pa.types.is_nested(kind):
        raise TypeError(kind)
    else:
        texts = column.cast(pa.string())
    if not pa.types.is_large_string(texts.type):
        texts = texts.cast(pa.string())
    for chunk in texts.chunks:
        chunk.validate(full=True)  # Nobody has checked that a parquet file's text is UTF-8.
    return pd.Series(pc.fill_null(texts, "").to_pandas(), dtype="str")


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _float_texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_float16(column.type):
        column = column.cast(pa.float32())
    numbers = column.to_numpy().astype(np.float64)
    with np.errstate(invalid="ignore"):
        whole = np.isfinite(numbers) & (np.floor(numbers) == numbers) & (np.abs(numbers) < _EXACT)
    # Of float32, the shortest text that is the same float32.
    texts = column.cast(pa.string()).combine_chunks()
    if whole.any():
        integers = pa.array(np.where(whole, numbers, 0).astype(np.int64)).cast(pa.string())
        texts = pc.if_else(pa.array(whole), integers, texts)
    missing = pa.array(np.isnan(numbers))
    return pa.chunked_array([pc.if_else(missing, pa.scalar("", pa.string()), texts)])


def without_points(ids: pd.Series) -> tuple[pd.Series, int]:
    """Takes the `.0` from ids that are whole numbers written as floats.

    Args:
      ids: str [rows].

    Returns:
      The ids, and how many of the rows were such.
    """
    ends = ids.str.endswith(".0", na=False).to_numpy(bool)
    if not ends.any():
        return ids, 0
    places = np.flatnonzero(ends)
    places = places[ids.iloc[places].str.match(_FLOAT_ID).to_numpy(bool)]
    if not len(places):
        return ids, 0
    texts = ids.to_numpy(dtype=object).copy()
    texts[places] = [text[:-2] for text in texts[places]]
    return pd.Series(texts, index=ids.index, dtype="str"), len(places)


def whole_numbers(texts: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Parses texts as whole numbers from 0, exactly.

    Returns:
      int64 [rows], 0 where a text is none that fits; and bool [rows], where one is.
    """
    codes, unique = pd.factorize(texts)
    limit = np.iinfo(np.int64).max
    numbers = np.zeros(len(unique) + 1, np.int64)  # The last is for missing texts, of code -1.
    good = np.zeros(len(unique) + 1, bool)
    for place, text in enumerate(unique):
        if text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= limit:
            numbers[place], good[place] = int(text), True
    return numbers[codes], good[codes]
