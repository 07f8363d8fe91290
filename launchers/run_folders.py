"""Where the runs of several seeds, and of several targets, lie within the folder that is named."""

import pathlib

# They keep the runs within the folder, whatever a target is called.
_SEED, _TARGET = "seed-", "target-"


def seed_folder(workdir: pathlib.Path, seed: int) -> pathlib.Path:
    """Returns the folder of one seed's run."""
    return workdir / f"{_SEED}{seed}"


def target_folder(workdir: pathlib.Path, target: str) -> pathlib.Path:
    """Returns the folder of one target's run."""
    return workdir / f"{_TARGET}{target}"
