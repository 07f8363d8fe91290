"""Passes over graphs that cost more than they give where a graph runs a few times, as in tests.

Grappler and oneDNN's rewriting take a quarter of a small run's time. Programs that tests start by a
new interpreter have Grappler, as a person's have.
"""

import os


def before_tensorflow() -> None:
    """Switches oneDNN off; for the processes that this one starts, too."""
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


def leave_out() -> None:
    """Switches Grappler off in this process and what is forked from it."""
    import tensorflow as tf

    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
