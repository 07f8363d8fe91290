"""Impressions with the published columns in two domains, converted from drawn rows."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data_pipelines.impressions import build
from data_pipelines.impressions.aliexpress import COLUMNS
from data_pipelines.impressions.log import Chunk, ImpressionLog
from data_pipelines.impressions.options import ImpressionSplitOptions
from data_pipelines.impressions.synthetic import FIELD_SIZES
from data_pipelines.logs import BadLines
from data_pipelines.prepared.dataset import PreparedData
from data_pipelines.prepared.impression_source import ImpressionSource
from launchers.benchmarking.generated.generator import SOURCE, TARGET, DataSizes, Generator
from tfcdr.benchmark import ImpressionSizes


class DrawnLog(ImpressionLog):
    """Training rows of a source and of a target, without any preference in them."""

    domains = (SOURCE, TARGET)
    columns = COLUMNS

    def __init__(self, rows: int) -> None:
        """Draws nothing yet.

        Args:
          rows: of each domain.
        """
        super().__init__(BadLines("", 0))
        self._rows = rows

    def chunks(self, scratch: Path) -> Iterator[Chunk]:
        """Draws a domain at a time."""
        del scratch
        random = np.random.default_rng(0)
        for domain in self.domains:
            rows = np.zeros(self._rows, self.columns.row_type())
            rows["categorical"] = random.integers(0, FIELD_SIZES, rows["categorical"].shape)
            rows["numerical"] = random.standard_normal(rows["numerical"].shape, np.float32)
            rows["click"] = random.random(len(rows)) < 0.1
            rows["conversion"] = rows["click"] * (random.random(len(rows)) < 0.2)
            yield Chunk(domain, "train", rows)


class Impressions(Generator[ImpressionSource]):
    """Impressions that all train."""

    def convert(self, folder: Path, sizes: DataSizes) -> None:
        build.build(
            DrawnLog(sizes.impressions),
            ImpressionSplitOptions(target=TARGET, validation_share=0.0),
            folder,
            field_sizes=FIELD_SIZES,
            provenance={"generated": dataclasses.asdict(sizes)},
        )

    def input_sizes(self, sizes: DataSizes) -> ImpressionSizes:
        del sizes  # Their columns are the published ones.
        return ImpressionSizes(FIELD_SIZES, len(COLUMNS.numerical))

    def read(self, prepared: PreparedData, sizes: DataSizes) -> ImpressionSource:
        del sizes
        return ImpressionSource(prepared)

    def describe(self, source: ImpressionSource) -> str:
        columns = len(source.numerical_columns)
        return f"{len(source.field_sizes)} fields, {columns} numerical columns"
