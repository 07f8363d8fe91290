"""Raw logs to TFRecords to batches. Knows files and users, never models."""
