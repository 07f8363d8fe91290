"""Tables of items beside a log, which give items their categories."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import pandas as pd

from data_pipelines.errors import DataError
from data_pipelines.logs import BadLines
from data_pipelines.readers import parquet_tables
from data_pipelines.readers.cells import without_points
from data_pipelines.readers.csv_text import csv_columns
from data_pipelines.readers.input_streams import line_namer
from data_pipelines.readers.json_lines import json_columns, json_header
from data_pipelines.readers.line_stream import numbered_lines
from data_pipelines.readers.options import Input, domain_values
from data_pipelines.readers.table_formats import TableFormat
from data_pipelines.readers.table_headers import plain_names
from data_pipelines.readers.text_files import require_file


def read_categories(options: Any) -> dict[str, Mapping[str, str]]:
    """Reads the tables that --read.items names.

    Args:
      options: `--read.*`, of the reader `csv`.

    Returns:
      Domain -> item -> category; "" stands for all domains.

    Raises:
      DataError: a table cannot be read, lacks a column, or has an item with two categories.
    """
    return {domain: _read(domain, path, options) for domain, path in _paths(options.items).items()}


def _paths(text: str) -> dict[str, str]:
    return {"": text} if pathlib.Path(text).exists() else domain_values(text)


def _read(domain: str, location: str, options: Any) -> Mapping[str, str]:
    path = pathlib.Path(location)
    require_file(path)
    # Of the log's options, only those that say how a table looks.
    own = dataclasses.replace(options, header=(), events=(), event_column="event", least_rating="")
    table = TableFormat(Input(path, location, domain), own, {})
    item, category = (table.column(f"{name}_column") for name in ("item", "category"))
    chosen: list[str] = []

    def names(header: list[str]) -> list[str]:
        plain = plain_names(header)
        for name in (item, category):
            found = header if name in header else plain
            if found.count(name) != 1:
                raise DataError(
                    f"{path}, line 1: column {name!r} is missing or comes twice; the table of "
                    f"items has {', '.join(header)}. See --read.item_column and "
                    "--read.category_column."
                )
            chosen.append(header[found.index(name)])
        return chosen

    none_may_be_bad = BadLines("", 0)
    if table.kind == "parquet":
        rows, _ = parquet_tables.read_columns(path, names, options.category_separator)
    elif table.kind == "json":
        at, lines = line_namer(path), lambda: numbered_lines(path, options.encoding)
        wanted = names(json_header(lines(), at))
        rows, _ = json_columns(lines(), wanted, at, none_may_be_bad, options.category_separator)
    else:
        text = table.layout_with([item], table.open_text, line_namer(path))
        rows = csv_columns(text, names(text.header), none_may_be_bad).rows
    items, _ = without_points(rows[chosen[0]])
    named = pd.DataFrame({"item": items, "category": rows[chosen[1]]}).drop_duplicates()
    twice = named["item"].duplicated()
    if twice.any():
        raise DataError(
            f"{path}: item {named['item'][twice].iloc[0]!r} comes twice with different categories; "
            "leave one."
        )
    return dict(zip(named["item"], named["category"], strict=True))
