"""Versions appear whole, in order, or not at all."""

import pathlib
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.tfcdr.ranking import tiny_models
from tests.tfcdr.ranking.conftest import TOP_K
from tfcdr.errors import RunError
from tfcdr.ranking.export import export_models
from tfcdr.ranking.history_names import HistoryNames
from tfcdr.serving import saved_model, warmup
from tfcdr.system import Serving


@pytest.fixture
def export_next(tmp_path, tiny_model):
    """Exports `tiny_model` to `tmp_path`/export; what is served and how by keyword."""

    def export(retrieval="brute_force", **changes):
        served = tiny_models.served(tiny_model)._replace(**changes)
        return export_models([served], tmp_path / "export", Serving(TOP_K, retrieval))

    return export


def test_versions_increase(tmp_path, export_next):
    assert export_next() == tmp_path / "export" / "1"
    (tmp_path / "export" / "9").mkdir()
    (tmp_path / "export" / "notes").mkdir()
    assert export_next() == tmp_path / "export" / "10"
    assert {path.name for path in (tmp_path / "export").iterdir()} == {"1", "9", "10", "notes"}


def test_a_version_taken_meanwhile_is_not_replaced(tmp_path, export_next, monkeypatch):
    rename, taken = pathlib.Path.rename, []

    def another_export_is_first(self, path):
        if not taken:
            taken.append(path)
            path.mkdir()
            (path / "saved_model.pb").write_text("theirs")
        return rename(self, path)

    monkeypatch.setattr(pathlib.Path, "rename", another_export_is_first)
    assert export_next().name == "2"
    assert (tmp_path / "export/1/saved_model.pb").read_text() == "theirs"


def test_no_version_is_ever_seen_half_written(tmp_path, export_next, monkeypatch):
    rename, seen = pathlib.Path.rename, []

    def look_first(self, path):
        seen.extend(saved_model.versions(path.parent))
        files = {str(file.relative_to(self)) for file in self.rglob("*") if file.is_file()}
        assert {
            "saved_model.pb",
            "variables/variables.index",
            "assets/histories-0.txt",
            "assets/items-0.txt",
            warmup.FILE,
        } <= files
        return rename(self, path)

    monkeypatch.setattr(pathlib.Path, "rename", look_first)
    written = export_next()
    assert seen == []
    # Others than the writer may read it: the server runs as another user.
    assert written.stat().st_mode & 0o777 == (tmp_path / "export").stat().st_mode & 0o777


def test_failure_leaves_nothing(tmp_path, export_next, monkeypatch):
    def disk_full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(warmup, "write_requests", disk_full)
    with pytest.raises(RunError, match=r"no version was written.*No space left"):
        export_next()
    assert list((tmp_path / "export").iterdir()) == []


def test_what_does_not_fit_is_refused_before_writing(tmp_path, export_next):
    with pytest.raises(RunError, match="has 7 items to rank, but the model ranks 20"):
        export_next(items=tiny_models.SOURCES)
    with pytest.raises(RunError, match=r"histories-0\.txt: not a vocabulary file"):
        export_next(histories=HistoryNames(["a", "a"], np.array([1, 2])))
    assert not (tmp_path / "export").exists()


def test_missing_scann_is_one_clear_error(tmp_path, export_next, monkeypatch):
    from tensorflow_recommenders.layers import factorized_top_k

    monkeypatch.setattr(factorized_top_k, "_HAVE_SCANN", False)
    with pytest.raises(RunError, match="pip install 'tfcdr\\[ann\\]'"):
        export_next(retrieval="scann")
    assert not (tmp_path / "export").exists()


class BrokenScann:
    """An import hook: TensorFlow Recommenders imports a ScaNN that does not load."""

    def find_spec(self, name, path=None, target=None):
        if name.startswith("tensorflow_recommenders"):
            raise tf.errors.NotFoundError(None, None, "_scann_ops.so: undefined symbol")


def test_scann_of_another_tensorflow_is_one_clear_error(export_next, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("tensorflow_recommenders")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [BrokenScann(), *sys.meta_path])
    with pytest.raises(RunError, match="scann was built for another TensorFlow"):
        export_next(retrieval="scann")
    assert export_next().name == "1"  # Brute force needs neither.


def test_a_catalogue_too_small_for_scann_is_refused(tmp_path):
    served = tiny_models.served(tiny_models.pretraining_model())
    with pytest.raises(RunError, match="at least 16 items, the catalogue has 7"):
        export_models([served], tmp_path / "export", Serving(TOP_K, "scann"))


def test_only_what_is_read_travels(saved_model, tiny_model):
    """No optimizer slots, and the item table once."""
    reader = tf.train.load_checkpoint(str(saved_model / "variables" / "variables"))
    stored = reader.get_variable_to_shape_map().values()
    floats = sum(tf.TensorShape(shape).num_elements() for shape in stored)
    model_floats = sum(int(tf.size(variable)) for variable in tiny_model.variables)
    # Besides: popularity and order of the items, and an id for each name of a history.
    served = tiny_models.served(tiny_model)
    names = 2 * len(served.items) + len(served.histories.names)
    # What begins each of these, and two tables of the vocabularies, each by one name.
    assert floats <= model_floats + names + 3
