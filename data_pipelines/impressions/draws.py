"""Seeded draws of rows: which of the target's training rows have labels, and which rows validate.

Each row is drawn on its own. For the subsample this is the same as what MTReclib does, drawing a
binomial number of rows to leave out and then as many rows without replacement, but it needs no
pass over the rows beforehand. The draws of a domain and part depend on the seed and the place of
the row, not on how rows are cut into chunks.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator

import numpy as np

from data_pipelines.impressions.log import Chunk
from data_pipelines.impressions.options import ImpressionSplitOptions


class RowDraws:
    """Gives every row its part.

    Attributes:
      left_out: reason -> number of target rows that the rates leave out.
    """

    def __init__(self, options: ImpressionSplitOptions) -> None:
        """Starts before the first row."""
        self.left_out: Counter[str] = Counter()
        self._options = options
        self._streams: dict[str, np.random.Generator] = {}

    def parts(self, chunk: Chunk) -> Iterator[tuple[str, np.ndarray]]:
        """Yields (part, rows) for the rows of a chunk that are kept."""
        if chunk.part != "train":
            yield chunk.part, chunk.rows
            return
        options = self._options
        # Two draws a row, whatever becomes of it.
        drawn = self._stream(chunk.domain).random((len(chunk.rows), 2))
        rows, held_out = chunk.rows, drawn[:, 1] < options.validation_share
        if chunk.domain == options.target:
            clicked = rows["click"] == 1
            kept = drawn[:, 0] < np.where(clicked, options.positive_rate, options.negative_rate)
            for text, of_kind in (("with", clicked), ("without", ~clicked)):
                if missing := int((of_kind & ~kept).sum()):
                    self.left_out[f"{chunk.domain}: training rows {text} a click"] += missing
            rows, held_out = rows[kept], held_out[kept]
        yield "train", rows[~held_out]
        yield "validation", rows[held_out]

    def _stream(self, domain: str) -> np.random.Generator:
        if domain not in self._streams:
            text = f"{self._options.seed}\timpressions\t{domain}"
            digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
            self._streams[domain] = np.random.default_rng(int.from_bytes(digest, "little"))
        return self._streams[domain]
