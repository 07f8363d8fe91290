"""Grappler costs more than it gives where a graph runs a few times, as in tests.

It takes a tenth of a small run's time. Programs that tests start by a new interpreter have it, as a
person's have. (oneDNN's rewriting takes as much, but without it numbers round otherwise.)
"""


def leave_out() -> None:
    """Switches Grappler off in this process and what is forked from it."""
    import tensorflow as tf

    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
