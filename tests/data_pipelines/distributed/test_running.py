import sys

import pytest
from apache_beam.options.pipeline_options import PortableOptions, StandardOptions

from data_pipelines import distributed
from data_pipelines.distributed.running import pipeline_options, running
from data_pipelines.errors import DataError


def test_runs_on_this_machine_by_default():
    options = pipeline_options(["--temp_location=/somewhere"])
    assert options.view_as(StandardOptions).runner == "FnApiRunner"
    assert options.get_all_options()["temp_location"] == "/somewhere"


def test_options_of_a_job_service_are_passed_on():
    options = pipeline_options(["--runner=PortableRunner", "--job_endpoint=h:1", "--parallelism=9"])
    assert options.view_as(PortableOptions).job_endpoint == "h:1"


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["--runner=HopRunner"], "--runner=HopRunner: this runner cannot be used"),
        (["--runner=nowhere.Runner"], "this runner cannot be used .No module named 'nowhere'"),
        (["--temp_locaton=x"], "--temp_locaton=x: FnApiRunner has no such option"),
        (["--direct_num_workers=two"], "direct_num_workers: invalid int value: 'two'"),
    ],
)
def test_mistakes_in_the_options(texts, message):
    with pytest.raises(DataError, match=message) as caught:
        pipeline_options(texts)
    assert "\n" not in str(caught.value)


def test_dataflow_needs_its_own_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.cloud.dataflow", None)
    with pytest.raises(DataError, match=r"pip install 'apache-beam\[gcp\]'"):
        pipeline_options(["--runner=DataflowRunner"])


def test_a_service_that_cannot_run_the_pipeline_is_one_line():
    options = pipeline_options(["--runner=PortableRunner"])
    with (
        pytest.raises(
            DataError, match="--runner=PortableRunner: the pipeline did not run"
        ) as caught,
        running(options),
    ):
        pass
    assert "--job_endpoint" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_beam_that_is_not_installed_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(DataError, match=r"pip install 'tfcdr\[beam\]', or use --engine=local"):
        distributed.load_conversion()
