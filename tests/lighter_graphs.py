"""What TensorFlow does to each graph costs more than it gives where the graph runs a few times.

Programs that tests start by a new interpreter have all of it, as a person's have, but for oneDNN,
which tests/conftest.py switches off by its variable.
"""

import functools
import os


def leave_out_passes_and_stacks() -> None:
    """Switches off in this process and what is forked from it, before TensorFlow is used:

    * Grappler's rewriting;
    * but for tests in one process, which people debug, the Python stack that TensorFlow keeps of
      each operation. What an operation raises then does not say which lines made it, nor can
      TensorFlow say which made a tensor that leaks from its graph.
    """
    import tfcdr  # noqa: F401, I001  (first: fixes the Keras generation)
    import tensorflow as tf
    from tensorflow.python.framework import ops

    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    if os.environ.get("PYTEST_XDIST_WORKER"):
        ops._create_c_op = functools.partial(ops._create_c_op, extract_traceback=False)
