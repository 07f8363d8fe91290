"""Command-line programs: convert, train, evaluate, export, benchmark."""

from launchers import early_interrupts

early_interrupts.install()  # before what takes seconds to import

import tfcdr  # noqa: E402, F401  (must come before anything else that imports TensorFlow)
