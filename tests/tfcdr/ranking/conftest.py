import pytest

from tests.tfcdr.ranking import tiny_models
from tfcdr.ranking.export import export_model

TOP_K = 5


@pytest.fixture(scope="package")
def tiny_model():
    return tiny_models.finetuning_model()


@pytest.fixture(scope="package")
def saved_model(tmp_path_factory, tiny_model):
    """Folder of an exported version of `tiny_model` that recommends five items."""
    folder = tmp_path_factory.mktemp("export")
    source, target = tiny_models.write_vocabularies(folder)
    path = export_model(
        tiny_model,
        folder / "export",
        history_vocabulary=source,
        target_vocabulary=target,
        max_length=tiny_models.LENGTH,
        top_k=TOP_K,
        retrieval="brute_force",
    )
    # A served model must not need the files it was made from.
    source.unlink()
    target.unlink()
    return path


@pytest.fixture(scope="package")
def tiny_answer(tiny_model):
    return tiny_models.expected(tiny_model, TOP_K)
