"""What a run's model is compared with, by group of test rows: figures with their intervals."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tfcdr import row_groups
from tfcdr.bar_gain import BarGain
from tfcdr.transfer_gain import TransferGain

MODEL = "the model"


class Compared(NamedTuple):
    """The model, or what stands beside it.

    Attributes:
      name: such as "without transfer".
      value: its figure.
      model: the model's on the same rows.
      low: lower end of the 95 % interval of the paired difference, put around `value`: where the
        interval does not hold `model`, one of the two is better; NaN where there is none.
      high: its upper end.
      rows: test rows that were compared.
    """

    name: str
    value: float
    model: float
    low: float = math.nan
    high: float = math.nan
    rows: int = 0

    @property
    def has_interval(self) -> bool:
        """Whether the difference has an interval."""
        return math.isfinite(self.low)

    @property
    def outcome(self) -> str:
        """Says what the interval allows to say of the model; "" without one."""
        if not self.has_interval:
            return ""
        if self.high < self.model:
            return "model better"
        if self.low > self.model:
            return "MODEL WORSE"
        return "the same" if self.low == self.high else "no measurable difference"


class Group(NamedTuple):
    """A group of test rows.

    Attributes:
      name: such as "cold"; `row_groups.ALL` for all.
      rows: how many there are.
      compared: the model first.
    """

    name: str
    rows: int
    compared: tuple[Compared, ...]


class Chart(NamedTuple):
    """Comparisons by group on one scale.

    Attributes:
      metric: such as "NDCG@10".
      origin: the figure at which bars begin.
      end: the figure at the right-hand end.
      groups: all rows first.
    """

    metric: str
    origin: float
    end: float
    groups: tuple[Group, ...]

    def share(self, value: float) -> float:
        """Returns where a figure stands between both ends, in percent."""
        return 100 * min(max((value - self.origin) / (self.end - self.origin), 0.0), 1.0)


def chart(metrics: Mapping[str, Any], monitor: str) -> Chart | None:
    """Gathers what metrics.json has of comparisons; None if it has none.

    Args:
      metrics: of a finished run.
      monitor: the metric of figures that are not compared, which are in its tables alone.
    """
    found: dict[str, list[Compared]] = {}
    metric = monitor
    for name, gain in _gains(metrics):
        metric = gain.metric
        for group, of_group in _by_group(name, metrics).items():
            if math.isfinite(of_group.gain):
                found.setdefault(group, []).append(_compared(name, of_group))
    known = {each.name for of in found.values() for each in of}
    for group, entry in _of_tables(metrics, monitor, known):
        found.setdefault(group, []).append(entry)
    groups = [
        Group(group, max(each.rows for each in of), (_of_model(of), *of))
        for group, of in found.items()
    ]
    values = [
        value
        for group in groups
        for each in group.compared
        for value in (each.value, each.low, each.high)
        if math.isfinite(value)
    ]
    if not values or max(values) <= 0:
        return None
    # Chance has an AUC of one half.
    origin = 0.5 if "AUC" in metric and min(values) >= 0.5 else 0.0
    return Chart(metric, origin, max(*values, origin + 1e-9), tuple(groups))


def sentence(metrics: Mapping[str, Any], monitor: str) -> str:
    """Says in one sentence what came out."""
    above = [
        BarGain.from_json(next(iter(of_groups.values())))
        for of_groups in metrics.get("bars", {}).values()
    ]
    words: dict[str, list[str]] = {}
    for each in above:
        if math.isfinite(each.gain):
            words.setdefault(each.word(), []).append(each.bar)
    beside = " and ".join(f"{word} {' and '.join(names)}" for word, names in words.items())
    if "transfer" in metrics:
        gain = TransferGain.from_json(metrics["transfer"])
        if not math.isfinite(gain.gain):
            return f"The {gain.verdict()}."
        said = (
            f"The transfer {gain.word()}: test {gain.metric} is {gain.transfer:.4f} with it and "
            f"{gain.no_transfer:.4f} without"
        )
        return f"{said}; the model is {beside}." if beside else f"{said}."
    figure = metrics.get("test", {}).get(monitor)
    if beside:
        return f"The model is {beside}: its test {above[0].metric} is {above[0].model:.4f}."
    return "The run is finished." if figure is None else f"Test {monitor} is {figure:.4f}."


def _gains(metrics: Mapping[str, Any]) -> Iterator[tuple[str, TransferGain]]:
    """Gives the gains over all rows, by what the model is compared with."""
    if "transfer" in metrics:
        yield "without transfer", TransferGain.from_json(metrics["transfer"])
    for part, entry in metrics.get("transfer_parts", {}).items():
        yield f"without {part}", TransferGain.from_json(entry)
    for bar, of_groups in metrics.get("bars", {}).items():
        yield bar, _as_transfer(next(iter(of_groups.values())))


def _by_group(name: str, metrics: Mapping[str, Any]) -> dict[str, TransferGain]:
    if name in metrics.get("bars", {}):
        return {group: _as_transfer(entry) for group, entry in metrics["bars"][name].items()}
    part = name.removeprefix("without ")
    if part in metrics.get("transfer_parts", {}):
        return {row_groups.ALL: TransferGain.from_json(metrics["transfer_parts"][part])}
    entries = {row_groups.ALL: metrics["transfer"], **metrics.get("transfer_groups", {})}
    return {group: TransferGain.from_json(entry) for group, entry in entries.items()}


def _as_transfer(entry: Mapping[str, Any]) -> TransferGain:
    gain = BarGain.from_json(entry)
    return TransferGain(
        gain.metric, gain.model, gain.of_bar, gain.gain, gain.low, gain.high, gain.rows
    )


def _compared(name: str, gain: TransferGain) -> Compared:
    low, high = gain.transfer - gain.high, gain.transfer - gain.low
    return Compared(name, gain.no_transfer, gain.transfer, low, high, gain.rows)


def _of_model(others: list[Compared]) -> Compared:
    return Compared(MODEL, others[0].model, others[0].model, rows=others[0].rows)


def _of_tables(
    metrics: Mapping[str, Any], monitor: str, known: set[str]
) -> Iterator[tuple[str, Compared]]:
    """Gives the scorers that stand in the test's tables alone, with labels' mean over tasks."""
    rows = [row for row in metrics["tables"]["test"] if "task" in row]
    tasks = [row["task"] for row in rows if monitor in ("AUC", f"{row['task']}_AUC")]
    figures: dict[tuple[str, str], list[float]] = {}
    counts: dict[str, int] = {}
    for row in rows:
        if row["task"] in tasks and row.get("AUC") is not None:
            figures.setdefault((row["group"], row["scorer"]), []).append(row["AUC"])
            counts[row["group"]] = row["rows"]
    for (group, scorer), values in figures.items():
        ours = figures.get((group, "model"))
        if scorer != "model" and scorer not in known and ours:
            model, value = sum(ours) / len(ours), sum(values) / len(values)
            if math.isfinite(model) and math.isfinite(value):
                yield group, Compared(scorer, value, model, rows=counts[group])
