"""From a `RankingModel` to a SavedModel that TensorFlow Serving loads without our Python.

`export.export_model` is the way in.
"""
