"""Generated data sets by what stages read of them. A new kind of log is a module and a line here.

Each is made by the real conversion from a log that is drawn.
"""

from collections.abc import Iterable

from launchers.benchmarking.generated.generator import Generator
from launchers.benchmarking.generated.impressions import Impressions
from launchers.benchmarking.generated.interactions import Interactions
from tfcdr.errors import RunError

GENERATORS: tuple[Generator, ...] = (Interactions(), Impressions())


def generator(views: Iterable[str]) -> Generator:
    """Returns the one whose data sets hold all of these views.

    Raises:
      RunError: there is none.
    """
    wanted = set(views)
    for candidate in GENERATORS:
        if wanted <= candidate.views:
            return candidate
    kinds = "; ".join(", ".join(sorted(candidate.views)) for candidate in GENERATORS)
    raise RunError(
        f"no generated data set holds the views {', '.join(sorted(wanted))} together: one holds "
        f"those of one kind of log, {kinds}."
    )
