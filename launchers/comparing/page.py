"""The table and the page of a comparison: one file with its pictures in it, that can be mailed."""

import html
import io
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib.figure
import numpy as np
import pandas as pd

from launchers.comparing.contenders import Runs
from tfcdr.errors import RunError
from tfcdr.ranking.comparison import Standing
from tfcdr.report_section import table_html

_STYLE = (
    "body{font:15px sans-serif;max-width:62em;margin:2em auto;padding:0 1em}svg{max-width:100%;"
    "height:auto}table{border-collapse:collapse;font-size:13px}td,th{padding:.2em .7em;"
    "border-top:1px solid #ccc;text-align:left}div{overflow-x:auto}"
)


class Part(NamedTuple):
    """What is said of one target.

    Attributes:
      target: its name.
      metric: that is compared.
      standings: of all recommenders.
      table: for the file.
      shown: the same as people read it.
      verdict: what to do.
      counted: what a standing's number is of.
    """

    target: str
    metric: str
    standings: Sequence[Standing]
    table: pd.DataFrame
    shown: pd.DataFrame
    verdict: str
    counted: str = "users"


def write(output: pathlib.Path, name: str, parts: Sequence[Part]) -> None:
    """Writes the table NAME.csv and the page index.html, and says so.

    Args:
      output: the folder, made if it is not there.
      name: of the table and the page.
      parts: one for each target.

    Raises:
      RunError: the folder cannot be written.
    """
    path, page = output / f"{name}.csv", output / "index.html"
    try:
        output.mkdir(parents=True, exist_ok=True)
        tables = [part.table.assign(target=part.target) for part in parts]
        pd.concat(tables).to_csv(path, index=False)
        page.write_text(_page(name, parts), encoding="utf-8")
    except OSError as error:
        raise RunError(f"{output}: cannot be written ({error.strerror}).") from error
    print(f"\nwrote {path} and {page}")


def _page(title: str, parts: Sequence[Part]) -> str:
    written = []
    for of in parts:
        written.append(f"<h1>{html.escape(of.target)}</h1><p><b>{html.escape(of.verdict)}</b></p>")
        written.append(_svg(figure(of.standings, of.metric, of.counted)))
        written.append(f"<div>{table_html(of.shown)}</div>")
    head = f"<meta charset='utf-8'><title>{html.escape(title)}</title>"
    return f"<!doctype html>{head}<style>{_STYLE}</style>{''.join(written)}\n"


def table(runs: Runs, standings: Sequence[Standing]) -> pd.DataFrame:
    """Returns the standings as a table for people: a row for each group and recommender."""
    candidates = {each.contender.name: each for each in runs.candidates}
    first = runs.candidates[0].contender.name
    level = f"{100 * standings[0].level:.4g} % interval"
    rows = []
    for each in standings:
        gain = each.name != first and np.isfinite(each.gain)
        rows.append(
            {
                "group": each.group,
                "recommender": each.name,
                "users": each.users,
                "seeds": each.seeds,
                f"test {runs.options.monitor}": each.mean,
                "spread": f"{each.spread:.4f}" if np.isfinite(each.spread) else "-",
                f"gain over {first}": f"{each.gain:+.4f}" if gain else "-",
                level: f"{each.low:+.4f} to {each.high:+.4f}" if gain else "-",
                "": each.word() if gain else "",
                "validation": candidates[each.name].validation,
                "seconds": f"{candidates[each.name].seconds:.0f}",
            }
        )
    return pd.DataFrame(rows)


def figure(
    standings: Sequence[Standing], metric: str, counted: str = "users"
) -> matplotlib.figure.Figure:
    """Draws a panel for each group: the recommenders' figures, the best at the top.

    Whiskers are the interval of the gain over the first recommender, whose figure is the dotted
    line.

    Args:
      standings: of all recommenders and groups.
      metric: that is compared.
      counted: what a standing's number is of.
    """
    groups = list(dict.fromkeys(each.group for each in standings if each.users))
    members = {g: [each for each in standings if each.group == g] for g in groups}
    height = 0.9 + 0.32 * max(map(len, members.values()), default=1)
    drawn = matplotlib.figure.Figure((8, height * max(1, len(groups))), layout="constrained")
    panels = drawn.subplots(max(1, len(groups)), 1, squeeze=False)[:, 0]
    for axes, group in zip(panels, groups, strict=False):
        first = members[group][0].mean
        ordered = sorted(members[group], key=lambda each: each.mean)
        for place, each in enumerate(ordered):
            colour = {"better": "tab:green", "WORSE": "tab:red"}.get(each.word(), "0.55")
            bounds = [[each.gain - each.low], [each.high - each.gain]]
            axes.barh(place, each.mean, color=colour, height=0.6)
            axes.errorbar(each.mean, place, xerr=bounds, color="black", capsize=3, linewidth=1)
        labels = [each.name for each in ordered]
        axes.set_yticks(range(len(ordered)), labels, parse_math=False)
        axes.axvline(first, color="0.3", linestyle=":", linewidth=1)
        axes.set(title=f"{group} ({ordered[0].users:,} {counted})", xlabel=f"test {metric}", xlim=0)
    return drawn


def _svg(drawn: matplotlib.figure.Figure) -> str:
    text = io.StringIO()
    drawn.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]
