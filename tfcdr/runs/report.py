"""A run as a page to look at: curves of every stage, tables, and what its system adds.

Written to WORKDIR/report: `index.html` and the pictures that it shows.
"""

import html
import math
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import matplotlib.axes
import matplotlib.figure
import numpy as np
import pandas as pd

from tfcdr import bar_gain, row_groups
from tfcdr.report_section import Section, table_html
from tfcdr.runs.run_folder import RunFolder
from tfcdr.transfer_gain import TransferGain

_STYLE = (
    "body{font:15px sans-serif;max-width:60em;margin:2em auto}td,th{padding:.2em .7em}"
    "img{max-width:100%}section table{border-collapse:collapse;font-size:13px}"
    "section td,section th{border-top:1px solid #ccc;text-align:left;vertical-align:top}"
)

# Numbers of an epoch's line that are no terms of a loss, or the whole loss.
_NOT_TERMS = ["epoch", "loss", "seconds", "examples_per_second"]
_PANELS_IN_A_ROW = 3
_LINES_IN_A_PANEL = 8
_HEADINGS = {"losses": "loss terms", "figures": "figures of the training steps"}
# Such as rebalancing_weight[toys]: one of several figures that share a panel.
_MEMBER = re.compile(r"(?P<family>.+)\[(?P<member>.+)\]")
_GAINS_HEADING = "What each group of test rows gains by the transfer"


def write(folder: RunFolder, monitor: str, sections: Sequence[Section]) -> pathlib.Path:
    """Draws a finished run.

    Args:
      folder: the run's.
      monitor: the validation metric that selected the epochs, such as "NDCG@10".
      sections: the system's own.

    Returns:
      The path of the page.
    """
    metrics = folder.finished_metrics()
    report = folder.path / "report"
    report.mkdir(exist_ok=True)
    stages = {stage: folder.epochs(stage) for stage in metrics["stages"]}
    curves(stages, monitor).savefig(report / "curves.png", dpi=120)
    panels = {"losses": loss_terms(stages), "figures": figures(stages)}
    panels = {name: series for name, series in panels.items() if series}
    for name, series in panels.items():
        draw_panels(series).savefig(report / f"{name}.png", dpi=120)
    gains = _known_gains(metrics)
    if gains:
        gains_figure(gains).savefig(report / "gains.png", dpi=120)
    for section in sections:
        if isinstance(section.content, matplotlib.figure.Figure):
            section.content.savefig(report / _picture(section), dpi=120)
    page = report / "index.html"
    page.write_text(_page(folder, metrics, sections, list(panels)), encoding="utf-8")
    return page


def curves(stages: dict[str, list[dict[str, Any]]], monitor: str) -> matplotlib.figure.Figure:
    """Draws, a row for each stage, the training loss and the validation metric by epoch.

    Args:
      stages: lines of metrics.jsonl by stage.
      monitor: the metric on the right-hand side.
    """
    figure = matplotlib.figure.Figure((9, 3 * len(stages)), layout="constrained")
    for axes, (stage, epochs) in zip(
        figure.subplots(len(stages), 2, squeeze=False), stages.items(), strict=True
    ):
        numbers = [epoch["epoch"] for epoch in epochs]
        scores = np.array([epoch["validation"][monitor] for epoch in epochs], np.float64)
        best = int(np.argmax(np.where(np.isfinite(scores), scores, -np.inf)))
        # What is fitted as a whole has no loss.
        axes[0].plot(numbers, [epoch.get("loss", np.nan) for epoch in epochs], marker=".")
        axes[0].set(title=f"{stage}: training loss", xlabel="epoch")
        axes[1].plot(numbers, scores, marker=".")
        axes[1].plot(numbers[best], scores[best], "o", label=f"best: {scores[best]:.4f}")
        # Room above, or a flat curve near the top is cut in half.
        top = 1.08 * scores[best] if scores[best] > 0 else None
        axes[1].set(title=f"{stage}: validation {monitor}", xlabel="epoch", ylim=(0, top))
        axes[1].legend(loc="lower right")
        for axis in axes:
            axis.xaxis.get_major_locator().set_params(integer=True)
    return figure


def loss_terms(stages: dict[str, list[dict[str, Any]]]) -> dict[tuple[str, str], pd.Series]:
    """Finds the terms that a stage's training reports besides its whole loss.

    Args:
      stages: lines of metrics.jsonl by stage.

    Returns:
      The means by epoch of each (stage, term), such as ("adapt", "critic_loss").
    """
    terms = {}
    for stage, epochs in stages.items():
        # All that a line holds as numbers besides these comes from the model's training step.
        lines = pd.DataFrame(epochs).set_index("epoch").select_dtypes("number")
        for term in lines.columns.difference(_NOT_TERMS, sort=False):
            terms[stage, term] = lines[term]
    return terms


def figures(stages: dict[str, list[dict[str, Any]]]) -> dict[tuple[str, str], pd.Series]:
    """Finds what a stage's training reports besides losses; see `loss_terms`."""
    found: dict[tuple[str, str], pd.Series] = {}
    for stage, epochs in stages.items():
        lines = pd.DataFrame([epoch.get("figures", {}) for epoch in epochs], dtype=np.float64)
        lines.index = [epoch["epoch"] for epoch in epochs]
        found |= {(stage, name): lines[name] for name in lines}
    return found


def gains_figure(gains: dict[str, TransferGain]) -> matplotlib.figure.Figure:
    """Draws a line for each group of test rows: its gain by the transfer, with the interval.

    Args:
      gains: known ones by group, at least one.
    """
    figure = matplotlib.figure.Figure((8, 1.2 + 0.35 * len(gains)), layout="constrained")
    axes = figure.subplots()
    for place, gain in enumerate(gains.values()):
        colour = "tab:green" if gain.low > 0 else "tab:red" if gain.high < 0 else "0.5"
        interval = [[gain.gain - gain.low], [gain.high - gain.gain]]
        axes.errorbar(gain.gain, place, xerr=interval, fmt="o", color=colour, capsize=4)
    labels = [f"{group} (n = {gain.rows:,})" for group, gain in gains.items()]
    axes.set_yticks(range(len(gains)), labels, parse_math=False)
    axes.invert_yaxis()
    axes.axvline(0, color="0.4", linestyle=":", linewidth=1)
    axes.set_xlabel(f"gain in test {next(iter(gains.values())).metric}")
    return figure


def draw_panels(series: dict[tuple[str, str], pd.Series]) -> matplotlib.figure.Figure:
    """Draws, a row for each stage, a panel for each of its series by epoch.

    Series such as weight[toys] and weight[games] are lines of one panel, the outermost ones if they
    are many.

    Args:
      series: at least one, by (stage, name).
    """
    stages = list(dict.fromkeys(stage for stage, _ in series))
    families: dict[tuple[str, str], dict[str, pd.Series]] = {}
    for (stage, name), by_epoch in series.items():
        member = _MEMBER.fullmatch(name)
        family, label = member.group("family", "member") if member else (name, "")
        families.setdefault((stage, family), {})[label] = by_epoch
    of_stages = [[name for of, name in families if of == stage] for stage in stages]
    widest = min(_PANELS_IN_A_ROW, max(map(len, of_stages)))
    rows = [
        (stage, of[start : start + widest])
        for stage, of in zip(stages, of_stages, strict=True)
        for start in range(0, len(of), widest)
    ]
    figure = matplotlib.figure.Figure((3 * widest, 2.5 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), widest, squeeze=False)
    for line, (stage, shown) in zip(grid, rows, strict=True):
        for axes, name in zip(line, shown, strict=False):
            _draw_lines(axes, families[stage, name])
            axes.set(title=f"{stage}: {name.replace('_', ' ')}", xlabel="epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
        for axes in line[len(shown) :]:
            axes.remove()
    return figure


def _draw_lines(axes: matplotlib.axes.Axes, lines: dict[str, pd.Series]) -> None:
    if len(lines) > _LINES_IN_A_PANEL:
        ordered = sorted(lines, key=lambda label: lines[label].iloc[-1])
        half = _LINES_IN_A_PANEL // 2
        lines = {label: lines[label] for label in (*ordered[-half:][::-1], *ordered[:half][::-1])}
    for label, by_epoch in lines.items():
        axes.plot(by_epoch.index, by_epoch, marker=".", label=label)
    if len(lines) > 1:
        for text in axes.legend(fontsize=6).get_texts():
            text.set_parse_math(False)


def _page(
    folder: RunFolder, metrics: dict[str, Any], sections: Sequence[Section], panels: Sequence[str]
) -> str:
    config = folder.config()
    title = html.escape(f"{config['system']} in {folder.path.name}")
    parts = [f"<h1>{title}</h1>"]
    for line in bar_gain.lines(metrics.get("bars", {})):
        parts.append(f"<p>{html.escape(line)}</p>")
    if "transfer" in metrics:
        verdict = TransferGain.from_json(metrics["transfer"]).verdict()
        parts.append(f"<p><b>{html.escape(verdict)}</b></p>")
        warning = bar_gain.baseline_line(metrics.get("baseline_bars", {}))
        parts.append(f"<p>{html.escape(warning)}</p>" if warning else "")
        for group, entry in metrics.get("transfer_groups", {}).items():
            line = TransferGain.from_json(entry).group_line(group)
            parts.append(f"<p>{html.escape(line)}</p>")
    if _known_gains(metrics):
        parts.append(
            f"<h2>{_GAINS_HEADING}</h2><p>Green: the transfer helped; red: it hurt, which is "
            "negative transfer; grey: the 95 % interval holds 0, so that nothing can be said.</p>"
            f'<img src="gains.png" alt="{_GAINS_HEADING}">'
        )
    parts.append('<img src="curves.png" alt="curves">')
    for name in panels:
        parts.append(f'<h2>{_HEADINGS[name]}</h2><img src="{name}.png" alt="{_HEADINGS[name]}">')
    for split in ("test", "validation"):
        parts.append(f"<h2>{split}</h2>{_table(metrics['tables'][split])}")
    parts += [_section(section) for section in sections]
    settings = pd.Series(config["config"], name="value").to_frame()
    parts.append(f"<h2>settings</h2>{settings.to_html(border=0)}")
    style = f"<meta charset='utf-8'><title>{title}</title><style>{_STYLE}</style>"
    return f"<!doctype html>{style}{''.join(parts)}\n"


def _known_gains(metrics: dict[str, Any]) -> dict[str, TransferGain]:
    """Returns the gains by the transfer that have a value, by group of test rows."""
    if "transfer" not in metrics:
        return {}
    entries = {row_groups.ALL: metrics["transfer"], **metrics.get("transfer_groups", {})}
    gains = {group: TransferGain.from_json(entry) for group, entry in entries.items()}
    return {group: gain for group, gain in gains.items() if math.isfinite(gain.gain)}


def _section(section: Section) -> str:
    heading, reading = html.escape(section.heading), html.escape(section.reading)
    if isinstance(section.content, matplotlib.figure.Figure):
        content = f'<img src="{_picture(section)}" alt="{heading}">'
    else:
        content = table_html(section.content)
    return f'<section id="{section.name}"><h2>{heading}</h2><p>{reading}</p>{content}</section>'


def _picture(section: Section) -> str:
    return f"{section.name}.png"


def _table(rows: list[dict[str, Any]]) -> str:
    table = pd.DataFrame(rows)
    return table.to_html(index=False, border=0, float_format="{:.4f}".format, na_rep="-")
