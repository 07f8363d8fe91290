"""AUC and log loss of predicted probabilities: over all rows, or by chunks as in the release."""

import numpy as np
import sklearn.metrics


def exact_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve over all rows at once, ties counted half (scikit-learn).

    Args:
      labels: 0 or 1, [rows].
      scores: float [rows].

    Returns:
      The area; NaN if only one class occurs.
    """
    if len(np.unique(labels)) < 2:
        return float("nan")
    return float(sklearn.metrics.roc_auc_score(labels, scores))


def auc_influence(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Returns each row's part in the sampling error of the area under the ROC curve.

    A positive's is the share of negatives below it minus the area, divided by the number of
    positives; a negative's the same the other way round. The sum of their squares is DeLong's
    variance (Biometrics, 1988), also of differences and means of areas over the same rows.

    Args:
      labels: 0 or 1, [rows].
      scores: float [rows].

    Returns:
      Float64 [rows]; NaN where a class is missing.
    """
    positive = labels > 0
    placed = np.zeros(len(labels))
    for group, other in ((positive, ~positive), (~positive, positive)):
        if not other.any():
            return np.full(len(labels), np.nan)
        beside = np.sort(scores[other])
        below = np.searchsorted(beside, scores[group], side="left")
        not_above = np.searchsorted(beside, scores[group], side="right")
        share = (below + not_above) / 2 / len(beside)
        placed[group] = (share - share.mean()) / len(share)
    return np.where(positive, placed, -placed)


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Returns the mean binary cross-entropy, logarithms at least -100 as in PyTorch.

    Args:
      labels: 0 or 1, [rows].
      probabilities: float [rows] in [0, 1].

    Returns:
      The mean; NaN without a row.
    """
    if not len(labels):
        return float("nan")
    with np.errstate(divide="ignore"):
        log_yes = np.maximum(np.log(probabilities), -100.0)
        log_no = np.maximum(np.log1p(-probabilities), -100.0)
    return float(-np.mean(labels * log_yes + (1 - labels) * log_no)) + 0.0  # not -0.0


def chunked(
    labels: np.ndarray, probabilities: np.ndarray, chunk_rows: int
) -> dict[str, np.ndarray]:
    """Returns AUC and log loss of consecutive chunks (DAA SPEC section 9).

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
        "auc": np.array([exact_auc(labels[part], probabilities[part]) for part in parts]),
        "log_loss": np.array([log_loss(labels[part], probabilities[part]) for part in parts]),
    }
