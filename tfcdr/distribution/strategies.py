"""The strategies by name."""

import os

import tensorflow as tf

from tfcdr.distribution import cluster as clusters
from tfcdr.distribution import parameter_server
from tfcdr.distribution.one_device import Distribution
from tfcdr.distribution.parameter_server import ParameterServer
from tfcdr.distribution.replicated import Mirrored, MultiWorker

STRATEGIES = ("default", "mirrored", "multi_worker", "parameter_server")


def start(strategy: str, timeout: float, cpu_devices: int = 1) -> Distribution | None:
    """Joins the processes of a run; call it before TensorFlow runs anything.

    Args:
      strategy: one of STRATEGIES.
      timeout: seconds to wait for the other processes.
      cpu_devices: into how many logical devices "mirrored" splits a CPU.

    Returns:
      What this process does; None where it has served the chief to the end and has nothing left
      to do.

    Raises:
      RunError: TF_CONFIG does not fit, or a process does not come up.
    """
    cluster = clusters.read(strategy, os.environ)
    if cluster is not None and strategy == "parameter_server":
        if cluster.own != cluster.chief:
            parameter_server.serve(cluster, timeout)
            return None
        return ParameterServer(cluster, timeout)
    if cluster is not None and strategy == "multi_worker":
        return MultiWorker(cluster, timeout)
    os.environ.pop("TF_CONFIG", None)  # TensorFlow would read it again.
    if strategy == "mirrored":
        (cpu,) = tf.config.list_physical_devices("CPU")
        logical = [tf.config.LogicalDeviceConfiguration()] * cpu_devices
        tf.config.set_logical_device_configuration(cpu, logical)
        return Mirrored()
    return Distribution()
