"""AUC and log loss of predicted probabilities: over all rows, or by chunks as in the release."""

import numpy as np
from sklearn.metrics import roc_auc_score


def auc(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Returns the exact area under the ROC curve; NaN where a class is missing.

    Args:
      labels: 0 or 1, [rows].
      probabilities: float [rows]; any increasing function of them does.
    """
    if len(np.unique(labels)) < 2:
        return float("nan")
    return float(roc_auc_score(labels, probabilities))


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Returns the mean binary cross-entropy, logarithms at least -100 as in PyTorch.

    Args:
      labels: 0 or 1, [rows].
      probabilities: float [rows] in [0, 1].
    """
    with np.errstate(divide="ignore"):
        log_yes = np.maximum(np.log(probabilities), -100.0)
        log_no = np.maximum(np.log1p(-probabilities), -100.0)
    return float(-np.mean(labels * log_yes + (1 - labels) * log_no))


def chunked(
    labels: np.ndarray, probabilities: np.ndarray, chunk_rows: int
) -> dict[str, np.ndarray]:
    """Returns AUC and log loss of consecutive chunks (SPEC section 9).

    The release reports the chunks' unweighted mean, in which a short last chunk counts like the
    others and one chunk without a positive leaves nothing defined.

    Args:
      labels: 0 or 1, [rows].
      probabilities: float [rows] in [0, 1].
      chunk_rows: rows of every chunk but the last.

    Returns:
      "auc" and "log_loss", float [chunks] each.
    """
    starts = range(0, len(labels), chunk_rows)
    parts = [slice(start, start + chunk_rows) for start in starts]
    return {
        "auc": np.array([auc(labels[part], probabilities[part]) for part in parts]),
        "log_loss": np.array([log_loss(labels[part], probabilities[part]) for part in parts]),
    }
