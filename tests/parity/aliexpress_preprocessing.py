"""MTReclib's processed csv text from AliExpress' raw csv texts, by this project's own reader."""

import io

import numpy as np
import pandas as pd

from data_pipelines.impressions import aliexpress
from data_pipelines.impressions.aliexpress import ITEM, USER, Side
from data_pipelines.impressions.joining import match
from data_pipelines.logs import BadLines
from data_pipelines.readers.csv_text import CsvText


def processed_csv(user_csv: str, item_csv: str, numerical: type = np.float32) -> str:
    """Joins the texts of a user and an item file.

    Args:
      user_csv: 33 columns without a header.
      item_csv: 49 columns without a header.
      numerical: np.float32, or np.float16 for what the release calls the low-memory variant.

    Returns:
      The text of `train.csv` or `test.csv`, 82 columns with a header.
    """
    users, items = _rows(user_csv, USER), _rows(item_csv, ITEM)
    matches = match(users["key"], items["key"])
    rows = aliexpress.impressions(users, items, matches)
    columns = {"search_id": users["key"][matches.left]}
    for place, name in enumerate(aliexpress.COLUMNS.categorical):
        columns[name] = rows["categorical"][:, place]
    # A numerical column that holds nothing but whole numbers is written without a point.
    whole = [*_whole_columns(user_csv, USER), *_whole_columns(item_csv, ITEM)]
    for place, name in enumerate(aliexpress.COLUMNS.numerical):
        kind = np.int64 if whole[place] else numerical
        columns[name] = rows["numerical"][:, place].astype(kind)
    columns |= {name: rows[name] for name in ("click", "conversion")}
    return pd.DataFrame(columns).to_csv(index=False)


def _rows(csv: str, side: Side) -> np.ndarray:
    text = CsvText(
        open=lambda: io.BytesIO(csv.encode()),
        at=lambda line: f"{side.name}, line {line}",
        name=side.name,
        separator=",",
        header=[str(k + 1) for k in range(side.width)],
        header_rows=0,
    )
    return np.concatenate(list(aliexpress.rows_of(side, text, (), BadLines("", 0))))


def _whole_columns(csv: str, side: Side) -> list[bool]:
    types = pd.read_csv(io.StringIO(csv), header=None).dtypes
    return [types[number - 1].kind == "i" for number in side.numerical]
