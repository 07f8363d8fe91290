"""How well the features of source and target agree: the domain AUC, and a picture's coordinates."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tfcdr.data_source import DataSource
from tfcdr.label_prediction.metrics import exact_auc
from tfcdr.report_section import sample_rows
from tfcdr.stage import Stage
from tfcdr.systems.daa.adaptation import AdaptationModel
from tfcdr.systems.daa.backbone import Backbone
from tfcdr.systems.daa.task_model import ImpressionModel

_IMPRESSIONS = 2000
_COLUMNS = ("categorical", "numerical")
_DOMAINS = ("source", "target")

Columns = dict[str, np.ndarray]


class DomainFeatures(NamedTuple):
    """Features of impressions of both domains.

    Attributes:
      source: float32 [source impressions, features].
      target: float32 [target impressions, features].
    """

    source: np.ndarray
    target: np.ndarray


class PlanePoints(NamedTuple):
    """Features in the plane of their two principal components.

    Attributes:
      source: float [source impressions, 2].
      target: float [target impressions, 2].
      variance_shares: float [2], what share of the features' variance each axis shows.
    """

    source: np.ndarray
    target: np.ndarray
    variance_shares: np.ndarray


def sample_impressions(stage: Stage, data: DataSource, seed: int) -> tuple[Columns, Columns] | None:
    """Draws test impressions of the source and of the target.

    Args:
      stage: gives the view.
      data: of both domains.
      seed: decides which impressions.

    Returns:
      Of each domain `categorical` int32 [n, F] and `numerical` float32 [n, M]; None where a domain
      has no test impressions.
    """
    view = stage.evaluation
    requests = [view._replace(options={**view.options, "domain": domain}) for domain in _DOMAINS]
    if not all(request.num_examples(data, "test") for request in requests):
        return None
    source, target = (
        sample_rows(
            request.batches(data, "test", stage.batch_size, seed), _COLUMNS, _IMPRESSIONS, seed
        )
        for request in requests
    )
    return source, target


def features_by_comparison(
    model: ImpressionModel, source: Columns, target: Columns
) -> dict[str, DomainFeatures]:
    """Computes the features that are to agree, all in evaluation mode.

    "before" and "after" each take both domains through one network, so that only the domains
    differ: the source model, and the trained one, as the second critic does. "between_models"
    takes the source through the source model and the target through the trained one, as the
    first critic does (SPEC section 5); there networks that differ tell the domains apart too.

    Args:
      model: the trained one. One without a source model has "after" alone.
      source: impressions of the source; see `sample_impressions`.
      target: impressions of the target.
    """
    after = DomainFeatures(_features(model.network, source), _features(model.network, target))
    if not isinstance(model, AdaptationModel):
        return {"after": after}
    frozen = model.source_network
    before = DomainFeatures(_features(frozen, source), _features(frozen, target))
    between_models = DomainFeatures(before.source, after.target)
    return {"before": before, "after": after, "between_models": between_models}


def domain_auc(features: DomainFeatures, seed: int) -> float:
    """Measures how well a fresh linear classifier tells the domains apart.

    A logistic regression on standardised features, fitted on half of each domain's impressions,
    scores the other half.

    Args:
      features: of both domains.
      seed: decides the halves.

    Returns:
      Its exact area under the ROC curve: 0.5 if the domains look alike to it, 1 if it knows each
      impression's; NaN where a domain has fewer than two.
    """
    if min(len(features.source), len(features.target)) < 2:
        return float("nan")
    values = np.concatenate(features)
    labels = np.repeat((0, 1), (len(features.source), len(features.target)))
    random = np.random.default_rng(seed)
    fitted = np.zeros(len(labels), bool)
    for domain in (0, 1):
        rows = random.permutation(np.flatnonzero(labels == domain))
        fitted[rows[: len(rows) // 2]] = True
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    classifier.fit(values[fitted], labels[fitted])
    return exact_auc(labels[~fitted], classifier.decision_function(values[~fitted]))


def plane_points(features: DomainFeatures) -> PlanePoints:
    """Projects both domains onto the first two principal components of all rows together.

    Args:
      features: of both domains. The axes of components without variance are 0.
    """
    values = np.concatenate(features).astype(np.float64)
    values -= values.mean(0)
    # Of the covariance: with many rows much faster than a decomposition of the rows.
    variances, components = np.linalg.eigh(values.T @ values)
    planar = np.zeros((values.shape[1], 2))
    shares = np.zeros(2)
    for axis in range(min(2, len(variances))):
        component = components[:, -1 - axis]
        if variances[-1 - axis] > 0:
            # A component's sign is arbitrary; its largest entry is positive here.
            planar[:, axis] = component * np.sign(component[np.abs(component).argmax()])
            shares[axis] = variances[-1 - axis] / variances.sum()
    source, target = np.split(values @ planar, [len(features.source)])
    return PlanePoints(source, target, shares)


def _features(network: Backbone, rows: Columns) -> np.ndarray:
    return network(*(tf.constant(rows[key]) for key in _COLUMNS)).features.numpy()
