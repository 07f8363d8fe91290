"""Where the runs of several targets lie within the folder of the run that trains them all."""

import pathlib

_PREFIX = "target-"


def target_folder(workdir: pathlib.Path, target: str) -> pathlib.Path:
    """Returns the folder of one target's run; the prefix keeps it within `workdir`."""
    return workdir / f"{_PREFIX}{target}"
