"""Where real data sets are looked for; none of them belongs to the project."""

import os
import pathlib


def root() -> pathlib.Path:
    """Returns $TFCDR_REAL_DATA, else ../shared/data beside the repository; it may be absent."""
    default = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data"
    return pathlib.Path(os.environ.get("TFCDR_REAL_DATA", default))
