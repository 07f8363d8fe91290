import numpy as np
import pytest

from data_pipelines import impressions
from data_pipelines.errors import DataError
from data_pipelines.impressions import synthetic_archives
from data_pipelines.impressions.aliexpress import AliExpressOptions
from data_pipelines.impressions.synthetic import FIELD_SIZES, SyntheticImpressionOptions, raw_blocks
from data_pipelines.impressions.tables import ImpressionCsvOptions
from tests.data_pipelines.impressions.raw_files import rows_by_part

SMALL = SyntheticImpressionOptions(source_pages=900, target_pages=700, test_pages=100)


def draw(options, folder):
    return rows_by_part(impressions.read("synthetic", options=options), folder)


def test_archives_hold_what_the_reader_draws(tmp_path):
    drawn = impressions.read("synthetic", options=SMALL)
    expected = rows_by_part(drawn, tmp_path / "drawn")
    for country in ("source", "target"):
        path = tmp_path / f"{country}.zip"
        synthetic_archives.write_archive(path, "XY", SMALL, country)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == ["", ".zip", ".zip"]
    log = impressions.read("aliexpress", [f"{c}={tmp_path / c}.zip" for c in ("source", "target")])
    found = rows_by_part(log, tmp_path / "scratch")
    assert set(found) == set(expected)
    for key, rows in expected.items():
        np.testing.assert_array_equal(found[key], rows)
    assert log.left_out == drawn.left_out
    assert log.left_out["target train: search ids in the item file only"] > 0


def test_a_seed_gives_the_same_log_and_another_seed_another(tmp_path):
    logs = [
        draw(SyntheticImpressionOptions(30, 20, 10, seed=seed), tmp_path / str(place))
        for place, seed in enumerate((1, 1, 2))
    ]
    numbers = [log["source", "train"]["numerical"] for log in logs]
    np.testing.assert_array_equal(numbers[0], numbers[1])
    assert numbers[0].shape != numbers[2].shape or not np.allclose(numbers[0], numbers[2])


def test_shares_and_sizes(tmp_path):
    log = draw(SMALL, tmp_path / "scratch")
    rows = log["source", "train"]
    assert 900 * 8 * 0.93 < len(rows) < 900 * 8 * 1.05
    assert rows["click"].mean() == pytest.approx(0.1, abs=0.015)
    assert rows["conversion"].sum() / rows["click"].sum() == pytest.approx(0.2, abs=0.06)
    for part in log.values():
        assert (part["categorical"] >= 0).all()
        assert (part["categorical"] < FIELD_SIZES).all()
        assert np.isfinite(part["numerical"]).all()
        assert (part["conversion"] <= part["click"]).all()


@pytest.mark.parametrize(("shift", "moved"), [(0.0, False), (1.0, True)])
def test_only_the_shift_tells_countries_apart(tmp_path, shift, moved):
    options = SyntheticImpressionOptions(600, 600, 1, shift=shift)
    log = draw(options, tmp_path / "scratch")
    source, target = (log[country, "train"] for country in ("source", "target"))
    scale = source["numerical"].std(axis=0)
    distance = np.abs(source["numerical"].mean(axis=0) - target["numerical"].mean(axis=0)) / scale
    assert (distance.max() > 0.5) == moved
    lower = source["categorical"][:, 6].mean() - target["categorical"][:, 6].mean()
    assert (lower > 2) == moved


def test_source_and_target_prefer_alike(tmp_path):
    """What the source's clicks say about an unshifted target holds there, too."""
    options = SyntheticImpressionOptions(2500, 1500, 1, shift=0.0)
    log = draw(options, tmp_path / "scratch")
    fitted, other = (log[country, "train"] for country in ("source", "target"))
    inputs = np.c_[fitted["numerical"], np.ones(len(fitted))]
    weights = np.linalg.lstsq(inputs, fitted["click"].astype(float), rcond=None)[0]
    scores = np.c_[other["numerical"], np.ones(len(other))] @ weights
    clicked, shown = scores[other["click"] == 1], scores[other["click"] == 0]
    assert (clicked[:, None] > shown).mean() > 0.7


def test_the_countries_raw_rows_do_not_depend_on_each_other():
    few = SyntheticImpressionOptions(40, 20, 10)
    more = SyntheticImpressionOptions(80, 20, 10)
    first, second = (next(raw_blocks(options, "target", "train")) for options in (few, more))
    np.testing.assert_array_equal(first.items, second.items)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source_pages": 0}, "source_pages is 0: it must be at least 1"),
        ({"shift": -1.0}, "shift is -1.0: it must be at least 0"),
        ({"click_share": 1.0}, "click_share is 1.0: it must be between 0 and 1"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(DataError) as error:
        SyntheticImpressionOptions(**options)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("reader", "inputs", "message"),
    [
        ("synthetic", ["NL=a.csv"], "--input has no meaning for --reader=synthetic"),
        ("movielens", [], "the readers of impressions are aliexpress, csv, synthetic"),
    ],
)
def test_flags_that_do_not_fit(reader, inputs, message):
    with pytest.raises(DataError) as error:
        impressions.read(reader, inputs)
    assert message in str(error.value)


def test_every_reader_has_its_own_options():
    """No field without a meaning; written out, so that one more is thought about."""
    of_files = {"field_sizes", "max_bad_lines"}
    columns = ("click", "conversion", "domain", "part")
    expected = {
        "aliexpress": of_files | {"max_unpacked_gb"},
        "csv": of_files
        | {"categorical_columns", "numerical_columns", "separator", "missing_numbers"}
        | {"least_count", "header"}
        | {f"{column}_column" for column in columns},
        "synthetic": set(SyntheticImpressionOptions.__dataclass_fields__),
    }
    found = {name: set(r.options.__dataclass_fields__) for name, r in impressions.READERS.items()}
    assert found == expected


@pytest.mark.parametrize(
    ("reader", "other"),
    [
        ("aliexpress", ImpressionCsvOptions()),
        ("csv", AliExpressOptions()),
        ("synthetic", AliExpressOptions()),
    ],
)
def test_options_of_another_reader_are_refused(reader, other):
    with pytest.raises(TypeError, match=rf"reader {reader} takes .*Options\. Received: "):
        impressions.read(reader, ["NL=a.csv"], other)
