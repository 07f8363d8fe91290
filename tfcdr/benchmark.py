"""What a system brings to its benchmark besides its stages: peers, kernels, phases of its step.

A system declares it in its own folder, in `benchmark.py`; `launchers/benchmark.py` measures it.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Generic, NamedTuple

import tensorflow as tf

from tfcdr.data_source import SourceT
from tfcdr.stage import Stage

# The kernel that measures what the machine multiplies in a second.
MATRIX_PRODUCTS = "matrix products"


class HistorySizes(NamedTuple):
    """Sizes of generated histories, for peers that draw their batches themselves.

    Attributes:
      items: items of the source domain and of the target domain.
      length: items T of a history.
      users: how many there are.
      categories: of either domain's items.
    """

    items: int
    length: int
    users: int
    categories: int


class ImpressionSizes(NamedTuple):
    """Sizes of generated impressions, for peers that draw their batches themselves.

    Attributes:
      field_sizes: of each categorical column, the number n of its values 0 .. n-1.
      numerical: number of numerical columns.
    """

    field_sizes: tuple[int, ...]
    numerical: int


class DomainSequenceSizes(NamedTuple):
    """Sizes of generated sequences over several domains, for peers that draw them themselves.

    Attributes:
      domains: number of domains.
      items: items of each.
      length: items T of a sequence.
    """

    domains: int
    items: int
    length: int


InputSizes = HistorySizes | ImpressionSizes | DomainSequenceSizes


class Invocation(NamedTuple):
    """What the program of a peer is told.

    Attributes:
      settings: for its set-up; JSON.
      environment: variables for its process besides this one's.
    """

    settings: Mapping[str, Any]
    environment: Mapping[str, str] = MappingProxyType({})


@dataclasses.dataclass(frozen=True)
class Peer:
    """Some of a system's work as others wrote it.

    Attributes:
      name: on the command line. Peers of several systems, or of several stages, may share one.
      program: module that serves the work in a process of its own; see
        `launchers/benchmarking/peers/child_process.py`.
      invoke: gives what the program is told, from the stage, the system's configuration, the
        sizes of the generated data and the peer's own settings, a value for each of `settings`.
      stages: the stages whose work it does; all if empty.
      fields: fields of the configuration that must have one of these values for it.
      settings: what a person can choose, with its values, the default first.
      needs_tensorflow: whether the program imports tfcdr. Any other one runs as a script, by an
        interpreter of the person's choice, and may import what lies in its folder.
    """

    name: str
    program: str
    invoke: Callable[[Stage, Any, Any, Mapping[str, str]], Invocation]
    stages: tuple[str, ...] = ()
    fields: Mapping[str, tuple[Any, ...]] = dataclasses.field(default_factory=dict)
    settings: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    needs_tensorflow: bool = False

    def does_work_of(self, stage: str, config: Any) -> bool:
        """Returns whether it does the work of a stage with this configuration."""
        fits = all(getattr(config, name) in values for name, values in self.fields.items())
        return fits and (not self.stages or stage in self.stages)

    def work(self, system: str) -> str:
        """Names its work by the flags that ask for it."""
        flags = {"system": (system,), "stage": self.stages}
        flags |= {f"{system}.{name}": values for name, values in self.fields.items()}
        return " ".join(
            f"--{name}={' or '.join(_flag_value(value) for value in values)}"
            for name, values in flags.items()
            if values
        )


class Kernel(NamedTuple):
    """A compiled piece of arithmetic.

    Attributes:
      run: does it once.
      flops: float operations that this takes, a multiply-add counted twice.
    """

    run: Callable[[], Any]
    flops: int


class Phase(NamedTuple):
    """A piece of a train step that is measured by itself, compiled by XLA if the step is.

    Attributes:
      name: of its timing.
      method: of the stage's model: takes a batch and computes the phase, without any update.
      label: what a person reads beside its time.
      every: batches behind which a step does it once.
      includes: name of another phase that it does, too; the person reads its time beyond that.
    """

    name: str
    method: str
    label: str
    every: int = 1
    includes: str | None = None


class Benchmark(Generic[SourceT]):
    """What a system brings to its benchmark; this class: nothing but the phases of a plain step.

    Attributes:
      peers: who else does some of its work.
      rivals: what it is compared with where nobody says it (`--against`).
    """

    peers: ClassVar[tuple[Peer, ...]] = ()
    rivals: ClassVar[tuple[str, ...]] = ()

    def kernels(self, config: Any, data: SourceT, stage: Stage) -> Mapping[str, Kernel]:
        """Returns the operations that carry a step's arithmetic, measured by themselves.

        Where `MATRIX_PRODUCTS` are all of them, the step itself is measured by their rate.

        Args:
          config: the system's configuration.
          data: what the stage reads.
          stage: whose step it is.
        """
        del config, data, stage
        return {}

    def phases(self, config: Any, stage: Stage) -> tuple[Phase, ...]:
        """Returns the phases of a stage's train step, each behind those that it includes.

        What a step takes besides them is its updates. The stage's periodic steps are measured
        without being named here.
        """
        del config, stage
        return (
            Phase("forward", "compute_losses", "forward"),
            Phase("gradients", "loss_and_gradients", "backward", includes="forward"),
        )


def matrix_products(shapes: Sequence[tuple[int, int, int]]) -> Kernel:
    """Returns plain products by `tf.matmul`, each with both products of its gradient.

    Args:
      shapes: (m, k, n) for each product of [m, k] by [k, n].
    """
    # Other factors for every product: equal ones would be computed once.
    factors = [
        (
            tf.random.stateless_normal((rows, inner), seed=(index, 0)),
            tf.random.stateless_normal((inner, columns), seed=(index, 1)),
            tf.random.stateless_normal((rows, columns), seed=(index, 2)),
        )
        for index, (rows, inner, columns) in enumerate(shapes)
    ]

    @tf.function
    def multiply() -> list[tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
        return [
            (
                tf.matmul(inputs, kernel),
                tf.matmul(upstream, kernel, transpose_b=True),
                tf.matmul(inputs, upstream, transpose_a=True),
            )
            for inputs, kernel, upstream in factors
        ]

    return Kernel(multiply, sum(3 * 2 * rows * inner * columns for rows, inner, columns in shapes))


def _flag_value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
