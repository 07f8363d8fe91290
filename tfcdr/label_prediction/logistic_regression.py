"""The bar for a network that predicts labels from ids: a logistic regression on the same ids."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import scipy.sparse
import sklearn.linear_model
import tensorflow as tf

from tfcdr.errors import RunError
from tfcdr.label_prediction.metrics import exact_auc
from tfcdr.stage_model import Batch

LOGISTIC_REGRESSION = "logistic regression"
# Inverse strengths of the penalty, among which validation chooses.
_STRENGTHS = (0.01, 0.1, 1.0, 10.0)
_MOST_ITERATIONS = 300


class LogisticRegression:
    """One weight for each value of some id columns, fitted by scikit-learn in seconds.

    What a user could have without any of this: the label's log-odds as a sum over the row's user,
    item and so on, each drawn to 0 by a penalty that is chosen on validation.

    Attributes:
      columns: entries of the batches with ids, and how many ids each has (0 included).
      label: the entry with the label.
    """

    def __init__(self, columns: Mapping[str, int], label: str) -> None:
        """Fits nothing yet; see the attributes."""
        self.columns = dict(columns)
        self.label = label
        self._fitted: sklearn.linear_model.LogisticRegression | None = None

    @property
    def is_fitted(self) -> bool:
        """Whether it can give probabilities."""
        return self._fitted is not None

    def fit(
        self, training: Callable[[], tf.data.Dataset], validation: Callable[[], tf.data.Dataset]
    ) -> None:
        """Fits all strengths of the penalty and keeps the one with the best validation AUC.

        Args:
          training: gives batches.
          validation: gives batches.

        Raises:
          RunError: the training rows are all alike.
        """
        rows, labels = self._table(training())
        if len(np.unique(labels)) < 2:
            raise RunError(
                f"the {len(labels):,} training rows are all alike in {self.label}: nothing can be "
                "learned from them; is the threshold of the label right?"
            )
        held_out, of_held_out = self._table(validation())
        best = -np.inf
        for strength in _STRENGTHS:
            fitted = sklearn.linear_model.LogisticRegression(
                C=strength, max_iter=_MOST_ITERATIONS
            ).fit(rows, labels)
            score = exact_auc(of_held_out, fitted.predict_proba(held_out)[:, 1])
            if score > best:
                best, self._fitted = score, fitted

    def probabilities(self, batch: Batch) -> np.ndarray:
        """Returns float32 [batch, 1].

        Raises:
          ValueError: nothing has been fitted.
        """
        if self._fitted is None:
            raise ValueError("Fit before asking for probabilities.")
        ids = [np.asarray(batch[name]) for name in self.columns]
        return self._fitted.predict_proba(self._one_hot(ids))[:, 1:].astype(np.float32)

    def _table(self, batches: tf.data.Dataset) -> tuple[scipy.sparse.csr_matrix, np.ndarray]:
        """Returns all rows one-hot, and their labels."""
        kept: list[list[np.ndarray]] = []
        for batch in batches.as_numpy_iterator():
            present = batch["example_weight"] > 0
            kept.append([batch[name][present] for name in (*self.columns, self.label)])
        *ids, labels = (np.concatenate(column) for column in zip(*kept, strict=True))
        return self._one_hot(ids), labels

    def _one_hot(self, ids: Sequence[np.ndarray]) -> scipy.sparse.csr_matrix:
        starts = np.cumsum([0, *self.columns.values()])
        places = np.stack(
            [column + start for column, start in zip(ids, starts, strict=False)], axis=1
        )
        rows, width = places.shape
        return scipy.sparse.csr_matrix(
            (np.ones(rows * width, np.float32), places.ravel(), np.arange(rows + 1) * width),
            shape=(rows, starts[-1]),
        )
