"""Small AliExpress archives, written line by line, for the tests of what reads them."""

import zipfile

import numpy as np

from data_pipelines.impressions.aliexpress import ITEM, USER


def user_line(search_id, **changed):
    """A row of a user file; `changed` sets columns by number, as in c9="nan"."""
    return _line(USER, search_id, changed)


def item_line(search_id, label=0, **changed):
    """A row of an item file."""
    return _line(ITEM, search_id, {"c49": label, **changed})


def _line(side, search_id, changed):
    values = [str(search_id), *["0"] * (side.width - 1)]
    for number in side.numerical:
        values[number - 1] = f"{search_id % 7}.{number}"
    for name, value in changed.items():
        values[int(name[1:]) - 1] = str(value)
    return ",".join(values)


def default_files():
    """Lines by member stem: 5 pages of 2 items in train, 2 in test."""
    files = {}
    for part, ids in (("train", range(10, 15)), ("test", range(20, 22))):
        files[f"nl_user_{part}"] = [user_line(i) for i in ids]
        files[f"nl_item_{part}"] = [item_line(i, label) for i in ids for label in (0, i % 3)]
    return files


def write_archive(path, files, folder="NL/"):
    """Zips each file, and the zips together."""
    with zipfile.ZipFile(path, "w") as outer:
        for stem, lines in files.items():
            inner = path.with_name(f"{stem}.zip")
            with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as packed:
                packed.writestr(f"{stem}.csv", "".join(f"{line}\n" for line in lines))
            outer.write(inner, f"{folder}{inner.name}")
            inner.unlink()
    return path


def rows_by_part(log, scratch):
    """All rows of a log, by (domain, part)."""
    scratch.mkdir()
    found = {}
    for chunk in log.chunks(scratch):
        found.setdefault((chunk.domain, chunk.part), []).append(chunk.rows)
    assert not list(scratch.iterdir())
    return {key: np.concatenate(rows) for key, rows in found.items()}
