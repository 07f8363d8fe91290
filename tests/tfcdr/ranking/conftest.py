import pytest

from tests.tfcdr.ranking import tiny_models
from tfcdr.ranking.export import export_models
from tfcdr.system import Serving

TOP_K = 5


@pytest.fixture(scope="package")
def tiny_model():
    return tiny_models.finetuning_model()


@pytest.fixture(scope="package")
def saved_model(tmp_path_factory, tiny_model):
    """Folder of an exported version of `tiny_model` that recommends five items."""
    folder = tmp_path_factory.mktemp("export")
    return export_models([tiny_models.served(tiny_model)], folder / "export", Serving(TOP_K))


@pytest.fixture(scope="package")
def tiny_answer(tiny_model):
    return tiny_models.expected(tiny_model, TOP_K)
