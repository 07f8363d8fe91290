"""DAA's sections of the report show the sampled features and say their domain AUCs."""

import json

import matplotlib.figure
import numpy as np
import pytest
import tensorflow as tf

from tests.tfcdr.systems.daa.memory_impressions import MemoryImpressions
from tests.tfcdr.systems.daa.small import BACKBONES, FIELD_SIZES, NUMERICAL, config
from tfcdr.runs import report as page
from tfcdr.runs.run_folder import RunFolder
from tfcdr.systems.daa import report
from tfcdr.systems.daa.adaptation import AlternatingModel
from tfcdr.systems.daa.backbones import make_backbone
from tfcdr.systems.daa.system import Daa
from tfcdr.systems.daa.task_model import TaskModel

SOURCES, TARGETS = 400, 300
TITLES = ["before adaptation", "after training", "after training, across models"]


def adapted(**fields):
    """A model whose target network still is its source network."""
    tf.keras.utils.set_random_seed(3)
    # Wide enough that not all units are 0.
    wide = config(bottom_widths=(32, 16), **fields)
    model = AlternatingModel(wide, FIELD_SIZES, NUMERICAL)
    model.start_from(make_backbone(model.config, FIELD_SIZES, NUMERICAL))
    return model


def blind(model):
    """Makes the target network read the same numerical columns, far off, in every impression."""
    layer = model.network.embedding.numerical_layer
    layer.kernel.assign(tf.zeros_like(layer.kernel))
    layer.bias.assign(tf.fill(layer.bias.shape, 5.0))
    return model


def sections(model, data):
    stage = Daa().stages(model.config)[-1]
    return {section.name: section for section in report.sections(stage, model, data)}


@pytest.fixture(scope="module")
def data():
    return MemoryImpressions(SOURCES, TARGETS, shift=3.0)


@pytest.fixture(scope="module")
def model():
    return blind(adapted())


@pytest.fixture(scope="module")
def drawn(model, data):
    return sections(model, data)


def test_the_domain_auc_falls_where_the_features_forget_the_shift(model, data):
    measured = report.measurements(Daa().stages(model.config)[-1], model, data)
    assert measured["domain_auc_before"] > 0.95
    assert abs(measured["domain_auc_after"] - 0.5) < 0.1
    # The source as the source model sees it lies elsewhere than what the blind one sees.
    assert measured["domain_auc_between_models"] > 0.9
    assert json.loads(json.dumps(measured)) == measured


def test_panels_have_a_point_for_each_impression_and_the_measured_auc(model, data, drawn):
    measured = report.measurements(Daa().stages(model.config)[-1], model, data)
    figure = drawn["domain_features"].content
    assert isinstance(figure, matplotlib.figure.Figure)
    titles = [axes.get_title().split("\n") for axes in figure.axes]
    assert [first for first, _ in titles] == TITLES
    assert [second for _, second in titles] == [
        f"domain AUC {measured[f'domain_auc_{name}']:.3f}"
        for name in ("before", "after", "between_models")
    ]
    for axes in figure.axes:
        source, target = axes.collections
        assert (source.get_label(), target.get_label()) == ("source", "target")
        assert len(source.get_offsets()) == SOURCES
        assert len(target.get_offsets()) == TARGETS
        assert source.get_facecolor().tolist() != target.get_facecolor().tolist()
        assert "% of the variance" in axes.get_xlabel()


def test_the_picture_shows_two_clouds_before_and_one_after(drawn):
    before, after, _ = drawn["domain_features"].content.axes

    def distance(axes):
        source, target = (np.array(points.get_offsets()) for points in axes.collections)
        spread = np.concatenate([source, target]).std(0)
        return np.abs((source.mean(0) - target.mean(0)) / spread).max()

    assert distance(before) > 1
    assert distance(after) < 0.3


def test_the_table_says_whose_features_they_are(drawn, model, data):
    measured = report.measurements(Daa().stages(model.config)[-1], model, data)
    table = drawn["domain_auc"].content
    assert table["features"].tolist() == TITLES
    assert table["source by"].tolist() == ["source model", "trained model", "source model"]
    assert table["target by"].tolist() == ["source model", "trained model", "trained model"]
    assert table["impressions"].tolist() == [f"{SOURCES} + {TARGETS}"] * 3
    assert table["domain AUC"].tolist() == list(measured.values())


def test_a_baseline_has_one_panel_and_one_figure(data):
    model = TaskModel(config(adaptation="fine_tune"), FIELD_SIZES, NUMERICAL)
    drawn = sections(model, data)
    assert len(drawn["domain_features"].content.axes) == 1
    assert len(drawn["domain_auc"].content) == 1
    measured = report.measurements(Daa().stages(model.config)[-1], model, data)
    assert measured.keys() == {"domain_auc_after"}


def test_without_test_impressions_of_the_source_nothing_is_drawn(model):
    nobody = MemoryImpressions(0, TARGETS)
    stage = Daa().stages(model.config)[-1]
    assert report.sections(stage, model, nobody) == ()
    assert report.measurements(stage, model, nobody) == {}


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_has_features_to_compare(backbone):
    model = adapted(backbone=backbone, adapt_batch_size=32)
    stage = Daa().stages(model.config)[-1]
    measured = report.measurements(stage, model, MemoryImpressions(120, 80, shift=3.0))
    # As yet both networks are the same.
    assert len(measured) == 3
    assert len(set(measured.values())) == 1
    assert measured["domain_auc_before"] > 0.8


def test_the_page_holds_the_picture_and_the_table(drawn, tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.claim({"system": "daa", "config": {"backbone": "mmoe"}})
    folder.add_epoch({"stage": "adapt", "epoch": 1, "loss": 1.0, "validation": {"auc": 0.7}})
    rows = [{"task": "click", "group": "all", "scorer": "model", "rows": 9, "AUC": 0.7}]
    tables = {"validation": rows, "test": rows}
    folder.finish({"stages": {"adapt": {}}, "tables": tables})
    written = page.write(folder, "auc", list(drawn.values()))
    text = written.read_text()
    assert 'aria-label="Features of source and target"' in text
    assert "domain AUC" in text
    assert "across models" in text
