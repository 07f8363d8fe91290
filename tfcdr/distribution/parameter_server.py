"""Variables on servers, gradients from workers, steps by the chief: parameter_server.

The chief reads a global batch, sends each worker its rows, waits for all of their gradients and
applies the sum once. So a step is the one that a single process would make, and a worker that is
lost changes nothing: another one computes its share again. Workers hold no state; they read the
variables, of tables only the rows that they touch, from the servers. XLA cannot reach variables of
another process, so that workers run without it.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

from tfcdr.distribution import cluster as clusters
from tfcdr.distribution.cluster import Cluster
from tfcdr.distribution.one_device import Distribution, Step
from tfcdr.errors import RunError
from tfcdr.stage_model import Batch, Gradients, StageModel, StepReport, Totals

# How often a server asks whether its chief is there, and how many times in a row it must be away.
_ASK_SECONDS = 2.0
_ASKED_IN_VAIN = 3
# A step that takes longer makes the chief ask whether there is still a worker.
_PATIENCE_SECONDS = 5.0
_POLL_SECONDS = 2e-4


def serve(cluster: Cluster, timeout: float) -> None:
    """Works for the chief as a worker or parameter server, until the chief is gone.

    TensorFlow's servers never end by themselves. The chief's own server, at its address in
    TF_CONFIG, accepts connections as long as its process lives: this process ends when three
    connections in a row have been refused, a few seconds after the chief.

    Args:
      cluster: as TF_CONFIG gives it.
      timeout: seconds to wait for the chief.

    Raises:
      RunError: the port is taken, or the chief does not come up.
    """
    with clusters.listening(cluster.own):  # TensorFlow's own message is long.
        pass
    addresses = {
        job: [task.address for task in cluster.of(job)] for job in ("chief", "worker", "ps")
    }
    server = tf.distribute.Server(
        tf.train.ClusterSpec(addresses),
        job_name=cluster.own.job,
        task_index=cluster.own.index,
        protocol="grpc",
    )
    print(f"{cluster.own} serves {cluster.chief}", flush=True)
    clusters.wait_for([cluster.chief], timeout)
    in_vain = 0
    while in_vain < _ASKED_IN_VAIN:
        time.sleep(_ASK_SECONDS)
        in_vain = 0 if cluster.chief.answers() else in_vain + 1
    print(f"{cluster.chief} has ended, and so does {cluster.own}", flush=True)
    del server


class ParameterServer(Distribution):
    """The chief's side; it evaluates and writes checkpoints alone."""

    name = "parameter_server"

    def __init__(self, cluster: Cluster, timeout: float) -> None:
        """Connects to the workers and servers; call it before TensorFlow runs anything.

        Args:
          cluster: as TF_CONFIG gives it.
          timeout: seconds to wait for them.

        Raises:
          RunError: one of them does not come up.
        """
        clusters.wait_for(cluster.others, timeout)
        self._workers, self._servers = cluster.of("worker"), cluster.of("ps")
        self.num_replicas = len(self._workers)
        self._strategy = tf.distribute.ParameterServerStrategy(
            tf.distribute.cluster_resolver.TFConfigClusterResolver()
        )
        self._coordinator = _Coordinator(self._strategy)
        # Otherwise each server would write its variables to a disk of its own.
        self.checkpoint_options = tf.train.CheckpointOptions(
            experimental_io_device="/job:chief/replica:0/task:0/device:CPU:0"
        )
        # Each such checkpoint is traced anew, of which TensorFlow would warn.
        tf.get_logger().setLevel("ERROR")

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        return self._strategy.scope()

    def make_step(self, model: StageModel) -> Step:
        add_up_rows = tf.function(model.batch_totals, autograph=False)

        @tf.function(autograph=False)
        def compute(rows: Batch, totals: Totals) -> tuple[StepReport, Gradients]:
            return model.loss_and_gradients(rows, totals)

        @tf.function(autograph=False)
        def apply(of_workers: Sequence[Gradients]) -> None:
            model.apply_gradients([_sum(parts) for parts in zip(*of_workers, strict=True)])

        def step(batch: Batch) -> StepReport:
            totals = add_up_rows(batch)
            results = [
                self._coordinator.schedule(compute, (rows, totals)) for rows in self._shares(batch)
            ]
            self._wait()
            reports, gradients = zip(*(result.fetch() for result in results), strict=True)
            apply(list(gradients))
            return tf.nest.map_structure(lambda *parts: sum(parts), *reports)

        return step

    def _shares(self, batch: Batch) -> list[dict[str, tf.Tensor]]:
        parts = {name: tf.split(value, self.num_replicas) for name, value in batch.items()}
        return [{name: part[i] for name, part in parts.items()} for i in range(self.num_replicas)]

    def _wait(self) -> None:
        """Waits for what is scheduled; TensorFlow would wait for the last worker for ever."""
        asked, in_vain = time.monotonic(), 0
        while not self._coordinator.done():
            time.sleep(_POLL_SECONDS)
            if time.monotonic() - asked > _PATIENCE_SECONDS:
                present = any(worker.answers() for worker in self._workers)
                asked, in_vain = time.monotonic(), 0 if present else in_vain + 1
                if in_vain == _ASKED_IN_VAIN:
                    raise RunError(_lost([str(worker) for worker in self._workers]))

    @contextlib.contextmanager
    def naming_lost_tasks(self) -> Iterator[None]:
        try:
            yield
        except (tf.errors.UnavailableError, tf.errors.AbortedError) as error:
            lost = list(map(str, clusters.gone(self._servers, _PATIENCE_SECONDS)))
            raise RunError(_lost(lost or ["the connection to a parameter server"])) from error


class _Coordinator(tf.distribute.coordinator.ClusterCoordinator):
    """Schedules functions on the workers; does not keep the process from ending."""

    def __del__(self) -> None:
        # The inherited method waits up to an hour for lost workers to come back.
        pass


def _lost(tasks: Sequence[str]) -> str:
    return (
        f"lost {', '.join(tasks)}; run the same command on all machines again to resume after the "
        "last finished epoch."
    )


def _sum(parts: Sequence[Any]) -> Any:
    """Adds one variable's gradients up, in the order of the workers: all None, or none is."""
    first = parts[0]
    if first is None:
        return None
    if isinstance(first, tf.IndexedSlices):
        return tf.IndexedSlices(
            tf.concat([part.values for part in parts], 0),
            tf.concat([part.indices for part in parts], 0),
            first.dense_shape,
        )
    return tf.add_n(parts)
