"""How tests run what is compiled in use: as one XLA program, or operation by operation."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import tensorflow as tf

Function = TypeVar("Function", bound=Callable)


def compiled_or_plain(function: Function, jit_compile: bool) -> Function:
    """Makes one XLA program of a function, or runs its operations one by one.

    Few calls are several times as fast without a graph, whose tracing takes most of their time;
    the runs of the launchers trace theirs. Functions within it are part of it either way, so that
    it can return what they made.
    """

    @functools.wraps(function)
    def inlined(*args: Any, **kwargs: Any) -> Any:
        before = tf.config.functions_run_eagerly()
        tf.config.run_functions_eagerly(True)
        try:
            return function(*args, **kwargs)
        finally:
            tf.config.run_functions_eagerly(before)

    return tf.function(inlined, jit_compile=True, autograph=False) if jit_compile else inlined
