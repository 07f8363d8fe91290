"""Raw interaction and impression logs to TFRecords, and TFRecords to batches.

Importing this package keeps TensorFlow's own messages off the terminal, as `import tfcdr` does,
unless the environment says otherwise (`TF_CPP_MIN_LOG_LEVEL=0`).
"""

import os

# Before TensorFlow is imported, which reads it once.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
