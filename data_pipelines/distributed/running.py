"""Beam's own options, and pipelines that run one after the other."""

import argparse
import contextlib
import importlib
import logging
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator
from apache_beam.portability.api import beam_provision_api_pb2
from apache_beam.runners.portability.fn_api_runner.fn_runner import (
    ExtendedProvisionInfo,
    FnApiRunner,
)
from apache_beam.runners.portability.portable_runner import JobServiceHandle
from apache_beam.runners.runner import PipelineResult, PipelineRunner, create_runner

from data_pipelines.distributed.work_folder import WorkFolder
from data_pipelines.errors import DataError


class LocalRunner(PipelineRunner):
    """Runs pipelines on this machine, in this process or in several, by Beam's FnApiRunner.

    DirectRunner, Beam's own default, first tries to download a program, Prism, and to run the
    pipeline on it. Where that fails, it does what is done here, too.
    """

    def run_pipeline(self, pipeline: beam.Pipeline, options: PipelineOptions) -> PipelineResult:
        """Runs a pipeline; workers in processes of their own know its options."""
        told = JobServiceHandle.encode_pipeline_options(options.get_all_options())
        provision = ExtendedProvisionInfo(
            beam_provision_api_pb2.ProvisionInfo(pipeline_options=told)
        )
        return FnApiRunner(provision_info=provision).run_pipeline(pipeline, options)


_DEFAULT_RUNNER = f"{__name__}.{LocalRunner.__name__}"
# What fails on these is no matter of services.
_LOCAL_RUNNERS = (_DEFAULT_RUNNER.lower(), "directrunner", "fnapirunner")
# These know all of their options; others pass what Python's Beam does not know on to their job
# service, which may know it.
_RUNNERS_WITH_KNOWN_OPTIONS = (*_LOCAL_RUNNERS, "dataflowrunner")


def pipeline_options(texts: Sequence[str]) -> PipelineOptions:
    """Beam's options from texts such as `--runner=FlinkRunner`; `LocalRunner` by default.

    Raises:
      DataError: an option is unknown, missing or has a bad value, or the runner is unknown or not
        installed.
    """
    known, unknown = _parse(list(texts))
    name = known.runner or _DEFAULT_RUNNER
    if unknown and name.lower() in _RUNNERS_WITH_KNOWN_OPTIONS:
        raise DataError(
            f"--beam_options={unknown[0]}: {known.runner or 'Beam'} has no such option."
        )
    try:
        runner = create_runner(name)
        if "dataflow" in name.lower():
            importlib.import_module("google.cloud.dataflow")  # Beam misses it much later.
    except (ImportError, AttributeError, ValueError) as error:
        reason = str(error).split(" Valid values")[0].rstrip(".")
        raise DataError(
            f"--beam_options=--runner={name}: this runner cannot be used ({reason}); known are "
            "FlinkRunner, SparkRunner, PortableRunner, DirectRunner and, with "
            "pip install 'apache-beam[gcp]', DataflowRunner; without --runner this machine runs it."
        ) from error
    options = PipelineOptions([f"--runner={name}", *texts])
    for mistake in PipelineOptionsValidator(options, runner).validate():
        raise DataError(f"--beam_options: {mistake}")
    return options


def _parse(texts: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Parses as Beam does, but does not exit the program on a mistake."""

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> NoReturn:
            raise DataError(f"--beam_options: {message}.")

    parser = Parser(add_help=False, allow_abbrev=False)
    for kind in {kind.__name__: kind for kind in _subclasses(PipelineOptions)}.values():
        kind._add_argparse_args(parser)
    return parser.parse_known_args(texts)


def _subclasses(kind: Any) -> Iterator[Any]:
    for child in kind.__subclasses__():
        if "_add_argparse_args" in vars(child):
            yield child
        yield from _subclasses(child)


@contextlib.contextmanager
def running(options: PipelineOptions) -> Iterator[beam.Pipeline]:
    """A pipeline that runs when the context ends.

    Raises:
      DataError: the runner cannot be reached, or the pipeline failed there.
    """
    with reporting(options), beam.Pipeline(options=options) as pipeline:
        yield pipeline


@contextlib.contextmanager
def reporting(options: PipelineOptions) -> Iterator[None]:
    """Leaves Beam's reports on its own work out, and says on one line that a service failed."""
    runner = options.view_as(StandardOptions).runner
    logger = logging.getLogger("apache_beam")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        if runner.lower() in _LOCAL_RUNNERS:
            raise
        reason = (str(error).strip() or type(error).__name__).split("\n")[0]
        raise DataError(
            f"--beam_options=--runner={runner}: the pipeline did not run ({reason})."
        ) from error
    finally:
        logger.setLevel(level)


class Gather(beam.PTransform):
    """Collects elements that JSON can hold in one file; for a few facts per group or piece."""

    def __init__(self, work: WorkFolder, name: str) -> None:
        """Remembers the file."""
        super().__init__()
        self._work = work
        self._name = name

    def expand(self, facts: beam.PCollection) -> beam.PCollection:
        """Collects and writes."""
        work, name = self._work, self._name

        def write(collected: list[Any]) -> None:
            work.save_json(name, collected)

        return facts | beam.combiners.ToList() | beam.Map(write)
