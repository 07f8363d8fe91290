"""The data set that a run was trained on, read as the run has read it."""

import pathlib
from collections.abc import Iterable

from data_pipelines.prepared.dataset import open_prepared
from data_pipelines.prepared.reading import Source, reopen
from tfcdr.errors import RunError
from tfcdr.runs.run_folder import RunFolder


def source_of(
    folder: RunFolder, data_dir: str | None = None, opened: Iterable[Source] = ()
) -> Source:
    """Opens the data set of a run.

    Args:
      folder: of the run.
      data_dir: the data set's, if it has moved since training.
      opened: what this process reads already; the run's own is among them or not.

    Raises:
      RunError: it is not where it was, or it is another one.
      DataError: it is damaged.
    """
    settings = folder.config()
    for source in opened:
        if source.fingerprint == settings.get("data_fingerprint"):
            return source
    if data_dir is None and not pathlib.Path(str(settings.get("data_dir"))).is_dir():
        raise RunError(
            f"{folder.path}: its data set was in {settings.get('data_dir')}, where there is none "
            "now; name its new folder with --data_dir."
        )
    prepared = open_prepared(data_dir or settings["data_dir"])
    prepared.check_files()
    try:
        reading, fingerprint = settings["reading"], settings["data_fingerprint"]
    except KeyError as error:
        raise RunError(
            f"{folder.path}/config.json: settings that this version does not know ({error}); train "
            "again, or use the version that wrote them."
        ) from error
    source = reopen(prepared, reading)
    if source.fingerprint != fingerprint:
        raise RunError(
            f"{prepared.data_dir}: not the data that the run in {folder.path} was trained on; name "
            "that with --data_dir."
        )
    return source
