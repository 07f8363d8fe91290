"""Whether DAA's features agree across the domains: a picture, and figures for metrics.json."""

from collections.abc import Mapping, Sequence

import matplotlib.figure
import matplotlib.ticker
import pandas as pd

from tfcdr.data_source import DataSource
from tfcdr.report_section import Section
from tfcdr.stage import Stage
from tfcdr.systems.daa.alignment import (
    DomainFeatures,
    domain_auc,
    features_by_comparison,
    plane_points,
    sample_impressions,
)
from tfcdr.systems.daa.task_model import ImpressionModel

_SEED = 0
# Panel title, and by which model the features of source and target are.
_COMPARISONS = {
    "before": ("before adaptation", "source model", "source model"),
    "after": ("after training", "trained model", "trained model"),
    "between_models": ("after training, across models", "source model", "trained model"),
}


def sections(stage: Stage, model: ImpressionModel, data: DataSource) -> Sequence[Section]:
    """Draws the features of test impressions of both domains, and measures their domain AUC.

    Args:
      stage: the model's.
      model: the last stage's. One without a source model has one panel.
      data: what it was trained on.

    Returns:
      Nothing if a domain has no test impressions.
    """
    features = _features(stage, model, data)
    if not features:
        return ()
    aucs = {name: domain_auc(of, _SEED) for name, of in features.items()}
    return (
        Section(
            "domain_features",
            "Features of source and target",
            "Each point is a test impression, drawn at random, in the plane of the features' two "
            "principal components, which each panel has for itself; the more the colours cover "
            "each other, the better the domains are aligned.",
            features_figure(features, aucs),
        ),
        Section(
            "domain_auc",
            "How well the domains can be told apart",
            "The domain AUC is the area under the ROC curve of a fresh linear classifier of the "
            "domain on features it was not fitted on: 0.5 means that it cannot tell them apart, 1 "
            "that it always can. Where two models make the features, their difference counts too.",
            _table(features, aucs),
        ),
    )


def measurements(stage: Stage, model: ImpressionModel, data: DataSource) -> dict[str, float]:
    """Returns the domain AUCs of test impressions, such as "domain_auc_after".

    Args:
      stage: the model's.
      model: the last stage's; see `alignment.features_by_comparison` for what it has.
      data: what it was trained on.
    """
    features = _features(stage, model, data)
    return {f"domain_auc_{name}": domain_auc(of, _SEED) for name, of in features.items()}


def features_figure(
    features: Mapping[str, DomainFeatures], aucs: Mapping[str, float]
) -> matplotlib.figure.Figure:
    """Draws a panel for each comparison, the domains in two colours.

    Args:
      features: by comparison.
      aucs: their domain AUCs.
    """
    figure = matplotlib.figure.Figure((4.2 * len(features), 4.4), layout="constrained")
    for axes, (name, of) in zip(
        figure.subplots(1, len(features), squeeze=False).flat, features.items(), strict=True
    ):
        points = plane_points(of)
        for domain, (first, second) in (("source", points.source.T), ("target", points.target.T)):
            axes.scatter(first, second, s=6, alpha=0.4, linewidths=0, label=domain)
        title = _COMPARISONS[name][0]
        axes.set_title(f"{title}\ndomain AUC {aucs[name]:.3f}", fontsize=10)
        shares = [f"{100 * share:.0f} % of the variance" for share in points.variance_shares]
        axes.set_xlabel(f"first component ({shares[0]})")
        axes.set_ylabel(f"second component ({shares[1]})")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(matplotlib.ticker.MaxNLocator(5))
    handles, labels = figure.axes[0].get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="outside upper center", ncols=2, markerscale=3)
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_alpha(1)
    return figure


def _features(stage: Stage, model: ImpressionModel, data: DataSource) -> dict[str, DomainFeatures]:
    sampled = sample_impressions(stage, data, _SEED)
    return features_by_comparison(model, *sampled) if sampled else {}


def _table(features: Mapping[str, DomainFeatures], aucs: Mapping[str, float]) -> pd.DataFrame:
    rows = []
    for name, of in features.items():
        title, of_source, of_target = _COMPARISONS[name]
        rows.append(
            {
                "features": title,
                "source by": of_source,
                "target by": of_target,
                "impressions": f"{len(of.source)} + {len(of.target)}",
                "domain AUC": aucs[name],
            }
        )
    return pd.DataFrame(rows)
