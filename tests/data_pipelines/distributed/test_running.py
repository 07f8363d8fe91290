import sys

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PortableOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.portability.prism_runner import PrismRunner
from apache_beam.runners.runner import create_runner
from apache_beam.testing.util import assert_that, equal_to

from data_pipelines import distributed
from data_pipelines.distributed.running import LocalRunner, pipeline_options, running
from data_pipelines.errors import DataError


def test_runs_on_this_machine_by_default():
    options = pipeline_options(["--temp_location=/somewhere"])
    runner = create_runner(options.view_as(StandardOptions).runner)
    assert isinstance(runner, LocalRunner)
    assert options.get_all_options()["temp_location"] == "/somewhere"


def test_a_local_pipeline_downloads_nothing_and_tells_workers_its_options(monkeypatch):
    told, on_prism = [], []
    run = FnApiRunner.run_pipeline

    def refuse(*_):
        # DirectRunner would go on without it.
        on_prism.append(True)
        raise OSError

    def noting(self, pipeline, options):
        told.append(self._provision_info.provision_info.pipeline_options)
        return run(self, pipeline, options)

    monkeypatch.setattr(FnApiRunner, "run_pipeline", noting)
    monkeypatch.setattr(PrismRunner, "run_pipeline", refuse)
    with running(pipeline_options(["--s3_region_name=here"])) as pipeline:
        assert_that(pipeline | beam.Create([1, 2]), equal_to([1, 2]))
    assert not on_prism
    (known,) = told
    assert "here" in str(known)


def test_options_of_a_job_service_are_passed_on():
    options = pipeline_options(["--runner=PortableRunner", "--job_endpoint=h:1", "--parallelism=9"])
    assert options.view_as(PortableOptions).job_endpoint == "h:1"


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["--runner=HopRunner"], "--runner=HopRunner: this runner cannot be used"),
        (["--runner=nowhere.Runner"], "this runner cannot be used .No module named 'nowhere'"),
        (["--temp_locaton=x"], "--temp_locaton=x: Beam has no such option"),
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
