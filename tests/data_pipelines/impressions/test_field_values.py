"""Click tables as people have them: any values as categories, no numbers, one label."""

import numpy as np
import pandas as pd
import pytest

from data_pipelines import impressions
from data_pipelines.errors import DataError
from data_pipelines.impressions import build, field_values
from data_pipelines.impressions.number_tables import NumberColumns, Whole, csv_numbers
from data_pipelines.impressions.options import ImpressionSplitOptions
from data_pipelines.impressions.tables import ImpressionCsvOptions
from data_pipelines.logs import BadLines
from data_pipelines.prepared import dataset
from data_pipelines.prepared.impression_source import ImpressionSource
from data_pipelines.readers.csv_text import csv_file, csv_header

ROWS = [  # site, device, click, part
    *(("68fd1e64", "True", "1", "train"), ("68fd1e64", "-1", "0", "train")),
    *(("", "True", "0", "train"), ("", "True", "1", "train"), ("05db9164", "x", "0", "train")),
    *(("68fd1e64", "x", "1", "test"), ("05db9164", "new", "0", "test"), ("", "-1", "0", "test")),
]
COLUMNS = {"categorical_columns": ("site", "device")}


def table(folder, name="log.csv"):
    rows = pd.DataFrame(ROWS, columns=["site", "device", "click", "part"])
    if name.endswith("parquet"):
        rows = rows.assign(click=rows["click"].astype(int), site=rows["site"].replace("", None))
        rows.to_parquet(folder / name)
    else:
        rows.to_csv(folder / name, index=False)
    return folder / name


def converted(folder, path, **options):
    read = ImpressionCsvOptions(**COLUMNS, **options)
    log = impressions.read("csv", [f"A={path}"], read)
    split = ImpressionSplitOptions(validation_share=0.0)
    build.build(log, split, folder / "data", overwrite=True)
    return ImpressionSource(dataset.open_prepared(folder / "data"))


def ids(source, part):
    size = {"train": 5, "test": 3}[part]
    (batch,) = source.batches("impression", part, batch_size=size, seed=0, domain="source")
    return sorted(map(tuple, batch["categorical"].numpy()))


@pytest.mark.parametrize("name", ["log.csv", "log.parquet"])
def test_values_get_ids_by_their_training_rows_and_rare_ones_none(tmp_path, name):
    source = converted(tmp_path, table(tmp_path, name), least_count=2)
    # Ties by text; a missing value is one like any other.
    assert source.field_values == (("", "68fd1e64"), ("True",))
    assert source.field_sizes == (3, 2)
    assert ids(source, "train") == [(0, 0), (1, 1), (1, 1), (2, 0), (2, 1)]
    assert ids(source, "test") == [(0, 0), (1, 0), (2, 0)]
    assert (source.labels, source.numerical_columns) == (("click",), ())
    (batch,) = source.batches("impression", "test", batch_size=3, seed=0, domain="source")
    assert batch["numerical"].shape == (3, 0)


def test_other_vocabularies_are_other_data(tmp_path):
    path = table(tmp_path)
    prints = {
        (of.fingerprint, of.shared_fingerprint)
        for least in (1, 2)
        for of in [converted(tmp_path, path, least_count=least)]
    }
    assert len({one for one, _ in prints}) == len({shared for _, shared in prints}) == 2


def test_a_damaged_vocabulary_is_named(tmp_path):
    source = converted(tmp_path, table(tmp_path), least_count=1)
    path = tmp_path / "data" / field_values.FILE
    whole = path.read_bytes()
    for content in (b"", whole[:-9], None):
        path.write_bytes(content) if content is not None else path.unlink()
        with pytest.raises(DataError, match=r"field_values\.parquet: (damaged|the file is)"):
            _ = source.field_values
    pd.DataFrame({"field": ["site"], "value": ["a"]}).to_parquet(path)
    with pytest.raises(DataError, match=r"field_values\.parquet: damaged \(other numbers"):
        _ = source.field_values


def test_without_vocabularies_the_message_says_how_to_have_them(tmp_path):
    with pytest.raises(DataError, match=r"not a whole number\. Columns of any .*least_count"):
        converted(tmp_path, table(tmp_path))
    assert not (tmp_path / "data").exists()


def test_a_value_over_two_lines_is_a_bad_line(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('site,device,click\n"a\nb",x,1\nc,x,0\n')
    with pytest.raises(DataError, match=r"a\.csv, line 2: column site: 'a\\nb' has a line break"):
        converted(tmp_path, path, least_count=1)
    source = converted(tmp_path, path, least_count=1, max_bad_lines=1)
    assert source.field_values == (("c",), ("x",))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"least_count": -1}, "least_count is -1"),
        ({"least_count": 1, "field_sizes": (2, 2)}, "field_sizes has no meaning with least_count"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(DataError, match=message):
        ImpressionCsvOptions(**options)


def test_a_conversion_column_is_in_all_tables_or_in_none(tmp_path):
    path = table(tmp_path)
    with pytest.raises(DataError, match="column 'bought' is missing"):
        converted(tmp_path, path, least_count=1, conversion_column="bought")
    other = tmp_path / "other.csv"
    other.write_text("site,device,click,conversion\na,b,1,0\n")
    read = ImpressionCsvOptions(**COLUMNS, least_count=1)
    with pytest.raises(DataError, match=r"only this table or .* has column conversion; give it"):
        impressions.read("csv", [f"A={path}", f"B={other}"], read)


def test_whole_numbers_beyond_those_of_floats_stay_what_they_are_beside_a_bad_line(tmp_path):
    path = tmp_path / "a.csv"
    numbers = [2**53 + 1, -(2**53) - 1, 2**63 - 1, 5]
    path.write_text("\n".join(["id", *map(str, numbers), "1.5", str(2**63)]) + "\n")
    text = csv_file(path, ",", True)
    bad_lines = BadLines("", 2)
    columns = NumberColumns({"id": Whole(-(2**63), 2**63 - 1, "is outside.")}, ())
    blocks = list(csv_numbers(text._replace(header=csv_header(text)), columns, bad_lines))
    assert np.concatenate([block.whole for block in blocks])[:, 0].tolist() == numbers
    assert bad_lines.count == 2
