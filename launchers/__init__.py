"""Command-line programs: convert, train, evaluate, export, benchmark."""

import tfcdr  # noqa: F401  (must come before anything else that imports TensorFlow)
