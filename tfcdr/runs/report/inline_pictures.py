"""Figures of matplotlib as vector pictures inside a page."""

import io
import itertools
import re
from collections.abc import Iterator

import matplotlib
import matplotlib.collections
import matplotlib.figure
import numpy as np
from markupsafe import Markup

# A point of a cloud takes a hundred bytes as a vector: a large cloud is drawn in pixels.
_MOST_POINTS = 500
_CLOUD_DPI = 150
_REFERENCE = re.compile(r'(\sid="|url\(#|href="#)')


class InlinePictures:
    """Draws figures for one page, on which no two may use the same ids."""

    def __init__(self) -> None:
        """Draws nothing yet."""
        self._numbers: Iterator[int] = itertools.count()

    def draw(self, figure: matplotlib.figure.Figure, label: str) -> Markup:
        """Returns a figure as an svg element, as wide as there is room, up to its own width.

        Args:
          figure: drawn with texts as texts, so that they can be searched and copied.
          label: says what it shows to whom it cannot be shown.
        """
        for axes in figure.axes:
            for cloud in axes.collections:
                many = np.shape(cloud.get_offsets())[0] > _MOST_POINTS
                if many and isinstance(cloud, matplotlib.collections.PathCollection):
                    cloud.set_rasterized(True)
        drawn = io.StringIO()
        with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "tfcdr"}):
            figure.savefig(drawn, format="svg", dpi=_CLOUD_DPI, metadata={"Date": None})
        text = drawn.getvalue()
        text = text[text.index("<svg") :]
        text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
        text = _REFERENCE.sub(rf"\1p{next(self._numbers)}-", text)
        width = figure.get_size_inches()[0]
        opening = Markup('<svg role="img" aria-label="{}" style="max-width:{:.1f}in"').format(
            label, width
        )
        # Its own size is that of its box on the page.
        text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
        text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
        # Matplotlib escapes the texts of a figure.
        return Markup(text.replace("<svg", opening, 1))
