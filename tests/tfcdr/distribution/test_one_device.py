"""How processes share rows."""

import dataclasses

import pytest

from tfcdr.data_source import ViewRequest
from tfcdr.distribution.one_device import ONE_DEVICE, Distribution
from tfcdr.errors import RunError
from tfcdr.stage import Stage


def worker(number, of):
    distribution = Distribution()
    distribution.worker, distribution.num_workers, distribution.num_replicas = number, of, of
    return distribution


def test_processes_share_every_row_of_a_batch_once():
    assert ONE_DEVICE.rows(12) == (0, 12)
    assert [worker(number, 3).rows(12) for number in range(3)] == [(0, 4), (4, 8), (8, 12)]


def test_what_is_fitted_is_fitted_by_one_process():
    view = ViewRequest("next_item", {})
    stage = Stage(name="fit", training=None, evaluation=view, batch_size=1, epochs=1, patience=1)
    ONE_DEVICE.check_stage(stage)
    mirrored = worker(0, 1)
    mirrored.name = "mirrored"
    with pytest.raises(RunError, match=r"stage fit is fitted by one process.*--strategy=mirrored"):
        mirrored.check_stage(stage)


def test_a_batch_that_replicas_cannot_share_is_refused():
    view = ViewRequest("next_item", {})
    stage = Stage(
        name="pretrain", training=view, evaluation=view, batch_size=12, epochs=1, patience=1
    )
    worker(0, 3).check_stage(stage)
    with pytest.raises(RunError, match=r"stage pretrain: a batch of 13 .* a multiple of 3"):
        worker(0, 3).check_stage(dataclasses.replace(stage, batch_size=13))
