"""Command-line programs: convert, train, evaluate, export."""

import tfcdr  # noqa: F401  (must come before anything else that imports TensorFlow)
