"""Copies of the model on several devices, of one process or of many: mirrored, multi_worker."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tfcdr.distribution import cluster as clusters
from tfcdr.distribution.cluster import Cluster
from tfcdr.distribution.one_device import Distribution, Step
from tfcdr.errors import RunError
from tfcdr.stage_model import StageModel, StepReport

# What a collective operation raises when another process is gone.
_LOSSES = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError)
_ENDING_SECONDS = 5.0


class Mirrored(Distribution):
    """All GPUs of one machine, or all its logical CPU devices if it has no GPU."""

    name = "mirrored"

    def __init__(self) -> None:
        kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
        devices = [device.name for device in tf.config.list_logical_devices(kind)]
        self._use(tf.distribute.MirroredStrategy(devices))

    def _use(self, strategy: tf.distribute.Strategy) -> None:
        self._strategy = strategy
        self.num_replicas = strategy.num_replicas_in_sync

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        return self._strategy.scope()

    def distribute(self, batches: tf.data.Dataset) -> Iterable[Any]:
        # The strategy takes as many elements a step as this process has replicas.
        replicas = self.num_replicas // self.num_workers
        rows = next(iter(batches.element_spec.values())).shape[0]
        of_replica = batches.rebatch(rows // replicas)
        return self._strategy.distribute_datasets_from_function(lambda context: of_replica)

    def make_step(self, model: StageModel) -> Step:
        @tf.function(autograph=False)
        def step(batch: Any) -> StepReport:
            report = self._strategy.run(model.train_step, (batch,))
            # All replicas return the same sums.
            return tf.nest.map_structure(
                lambda value: self._strategy.experimental_local_results(value)[0], report
            )

        return step


class MultiWorker(Mirrored):
    """The devices of many processes, which all run the same program.

    The chief writes; the others need to read what it writes, in the same --workdir.
    """

    name = "multi_worker"

    def __init__(self, cluster: Cluster, timeout: float) -> None:
        """Joins the cluster; call it before TensorFlow runs anything.

        Args:
          cluster: as TF_CONFIG gives it.
          timeout: seconds to wait for the other processes.

        Raises:
          RunError: one of them does not come up.
        """
        # TensorFlow itself would wait for an hour without a word.
        with clusters.listening(cluster.own):
            clusters.wait_for(cluster.others, timeout)
        self._cluster = cluster
        self.num_workers = len(cluster.tasks)
        self.worker = cluster.tasks.index(cluster.own)
        with self.naming_lost_tasks():
            self._use(tf.distribute.MultiWorkerMirroredStrategy())

    def make_step(self, model: StageModel) -> Step:
        for variable in model.variables:
            if variable.synchronization == tf.VariableSynchronization.ON_READ:
                # The chief alone saves; it would wait for the others for ever.
                raise RunError(
                    f"--strategy={self.name} cannot train {variable.name}, which replicas average "
                    "when it is read, as in batch normalisation; use another strategy."
                )
        return super().make_step(model)

    def add_up(self, values: np.ndarray) -> np.ndarray:
        def own(context: tf.distribute.ReplicaContext) -> tf.Tensor:
            # A process with several replicas counts once.
            first = context.replica_id_in_sync_group % replicas == 0
            return tf.constant(values if first else np.zeros_like(values))

        replicas = self.num_replicas // self.num_workers
        everyone = self._strategy.experimental_distribute_values_from_function(own)
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, everyone, axis=None).numpy()

    def barrier(self) -> None:
        self.add_up(np.ones(()))

    @contextlib.contextmanager
    def naming_lost_tasks(self) -> Iterator[None]:
        try:
            yield
        except _LOSSES as error:
            # One that ended by an error of its own may still be ending.
            lost = map(str, clusters.gone(self._cluster.others, _ENDING_SECONDS))
            raise RunError(
                f"lost {', '.join(lost) or 'the connection to another process'}; run the same "
                "command on all workers again to resume after the last finished epoch."
            ) from error
