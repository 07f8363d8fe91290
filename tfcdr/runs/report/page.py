"""Writes the page of a finished run."""

import datetime
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jinja2
import matplotlib.figure
import pandas as pd
from markupsafe import Markup

from tfcdr import bar_gain
from tfcdr.report_section import Section, ShownDomain, ShownUser, table_html
from tfcdr.runs.report import comparisons, curves
from tfcdr.runs.report.inline_pictures import InlinePictures
from tfcdr.runs.run_folder import RunFolder
from tfcdr.runs.stage_screen import clock
from tfcdr.transfer_gain import TransferGain

_SPLITS = ("test", "validation")


class _Table(NamedTuple):
    """A metric a line, a scorer a column, for one group of rows."""

    heading: str
    scorers: Sequence[str]
    lines: Sequence[tuple[str, Sequence[str]]]


def write(
    folder: RunFolder,
    monitor: str,
    sections: Sequence[Section],
    domains: Sequence[ShownDomain] = (),
    users: Sequence[ShownUser] = (),
    command: str = "",
) -> pathlib.Path:
    """Draws a finished run.

    Args:
      folder: the run's.
      monitor: the validation metric that selected the epochs, such as "NDCG@10".
      sections: the system's own.
      domains: what was read.
      users: of the test, drawn at random.
      command: that made the run.

    Returns:
      The path of the page, which needs no other file.

    Raises:
      RunError: the run is not finished.
    """
    metrics, config = folder.finished_metrics(), folder.config()
    stages = {stage: folder.epochs(stage) for stage in metrics["stages"]}
    pictures = InlinePictures()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("page.html.jinja").render(
        title=f"{config['system']} in {folder.path.name}",
        sentence=comparisons.sentence(metrics, monitor),
        verdicts=_verdicts(metrics),
        chart=comparisons.chart(metrics, monitor),
        domains=domains,
        counted=_counted(domains),
        facts=_facts(folder, metrics, config, command),
        users=users,
        curves=_drawn(pictures, curves.curves(stages, monitor), "by epoch"),
        sections=[_section(section, pictures) for section in sections],
        terms=_drawn(pictures, curves.draw_panels(curves.loss_terms(stages)), "loss term"),
        figures=_drawn(pictures, curves.draw_panels(curves.figures(stages)), "figure of the steps"),
        tables={split: list(_tables(metrics["tables"][split])) for split in _SPLITS},
        settings=_settings(config),
    )
    page = folder.path / "report" / "index.html"
    page.parent.mkdir(exist_ok=True)
    page.write_text(text, encoding="utf-8")
    return page


def _verdicts(metrics: Mapping[str, Any]) -> list[str]:
    """Says a line for each comparison over all rows, and warns of a weak baseline."""
    lines = bar_gain.lines(metrics.get("bars", {}))
    if "transfer" in metrics:
        lines.append(TransferGain.from_json(metrics["transfer"]).verdict())
        lines.append(bar_gain.baseline_line(metrics.get("baseline_bars", {})))
        for group, entry in metrics.get("transfer_groups", {}).items():
            lines.append(TransferGain.from_json(entry).group_line(group))
        for part, entry in metrics.get("transfer_parts", {}).items():
            lines.append(TransferGain.from_json(entry).verdict(part))
    return [line.strip() for line in lines if line]


def _counted(domains: Sequence[ShownDomain]) -> dict[str, int]:
    """Returns the most that a domain has of each thing that is counted."""
    names = dict.fromkeys(name for domain in domains for name in domain.counts)
    return {name: max(domain.counts.get(name, 0) for domain in domains) for name in names}


def _facts(
    folder: RunFolder, metrics: Mapping[str, Any], config: Mapping[str, Any], command: str
) -> dict[str, str]:
    """Returns when, how, by what and how long, by name."""
    finished = (folder.path / "metrics.json").stat().st_mtime
    facts = {"finished": f"{datetime.datetime.fromtimestamp(finished):%Y-%m-%d %H:%M}"}
    if command:
        facts["command"] = command
    seconds = {stage: of.get("seconds", 0.0) for stage, of in metrics["stages"].items()}
    if any(seconds.values()):
        stages = ", ".join(
            f"{stage} {clock(seconds[stage])} with {of['epochs']} epoch"
            f"{'s' if of['epochs'] > 1 else ''}, the best {of['best_epoch']}"
            for stage, of in metrics["stages"].items()
            if seconds[stage]
        )
        facts["training"] = f"{clock(sum(seconds.values()))} ({stages})"
    versions = config.get("versions", {})
    if versions:
        facts["versions"] = ", ".join(f"{name} {version}" for name, version in versions.items())
    if "seed" in config:
        facts["seed"] = str(config["seed"])
    return facts


def _drawn(
    pictures: InlinePictures, figures: Sequence[matplotlib.figure.Figure], label: str
) -> list[Markup]:
    return [
        pictures.draw(figure, f"{figure.axes[0].get_title()} {label}".strip()) for figure in figures
    ]


def _section(section: Section, pictures: InlinePictures) -> dict[str, Any]:
    if isinstance(section.content, matplotlib.figure.Figure):
        content = pictures.draw(section.content, section.heading)
    else:
        content = Markup(table_html(section.content))
    return {**section._asdict(), "content": content}


def _tables(rows: Sequence[Mapping[str, Any]]) -> Iterator[_Table]:
    """Turns a split's table into one for each group, narrow enough for any screen."""
    table = pd.DataFrame(rows)
    if table.empty:
        return
    about = [name for name in table if isinstance(rows[0][name], str) and name != "scorer"]
    figures = [name for name in table if name not in (*about, "scorer")]
    for key, of_group in table.groupby(about, sort=False):
        lines = [(name, [_figure(value) for value in of_group[name]]) for name in figures]
        yield _Table(", ".join(key), of_group["scorer"].tolist(), lines)


def _figure(value: Any) -> str:
    if value is None or value != value:
        return "-"
    if float(value).is_integer() and abs(value) >= 1:
        return f"{int(value):,}"
    return f"{value:.4f}"


def _settings(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns settings by group: those of the system, of the evaluation, and of the run."""
    groups = {
        f"--{config['system']}.*": config["config"],
        "--evaluation": config.get("evaluation", {}),
        "data": config.get("reading", {}),
    }
    others = ("system", "config", "evaluation", "reading", "versions")
    groups["run"] = {name: value for name, value in config.items() if name not in others}
    return {name: values for name, values in groups.items() if values}
