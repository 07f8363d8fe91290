"""Writes the demo log of impressions as AliExpress publishes its own: zips inside a zip."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from data_pipelines.impressions.aliexpress import ITEM, USER, Side
from data_pipelines.impressions.synthetic import (
    PARTS,
    RawBlock,
    SyntheticImpressionOptions,
    raw_blocks,
)

_LEVEL = 1  # of compression; the numbers are random anyway


def write_archive(path: Path, code: str, options: SyntheticImpressionOptions, country: str) -> None:
    """Writes the archive of one country.

    Args:
      path: the file to write; its folder also takes temporary files.
      code: two letters that name the folder and files in the archive, such as "NL".
      options: of the log.
      country: "source" or "target".
    """
    with zipfile.ZipFile(path, "w") as archive:
        for part in PARTS:
            stems = [f"{code.lower()}_{side.name}_{part}" for side in (USER, ITEM)]
            inner = [path.with_name(f"{stem}.zip") for stem in stems]
            _write_files(inner, stems, raw_blocks(options, country, part))
            for file in inner:
                archive.write(file, f"{code.upper()}/{file.name}")
                file.unlink()


def _write_files(paths: list[Path], stems: list[str], blocks: Iterator[RawBlock]) -> None:
    """Writes both files of a part in one pass over its blocks."""
    options = pa.csv.WriteOptions(include_header=False)
    with (
        zipfile.ZipFile(paths[0], "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as user_zip,
        zipfile.ZipFile(paths[1], "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as item_zip,
        user_zip.open(f"{stems[0]}.csv", "w", force_zip64=True) as users,
        item_zip.open(f"{stems[1]}.csv", "w", force_zip64=True) as items,
    ):
        for block in blocks:
            pa.csv.write_csv(_as_file(block.users, USER), users, options)
            pa.csv.write_csv(_as_file(block.items, ITEM), items, options)


def _as_file(rows: np.ndarray, side: Side) -> pa.Table:
    """Puts the fields of rows into the file's order of columns."""
    columns = {1: rows["key"]}
    for place, number in enumerate(side.categorical):
        columns[number] = rows["categorical"][:, place]
    for place, number in enumerate(side.numerical):
        columns[number] = rows["numerical"][:, place]
    if side.label:
        columns[side.label] = rows["label"]
    names = sorted(columns)
    return pa.table([np.ascontiguousarray(columns[n]) for n in names], [str(n) for n in names])
