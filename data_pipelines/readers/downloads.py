"""Files that readers fetch from their publishers, through TensorFlow Datasets."""

import os
import pathlib
import shutil

from data_pipelines.errors import DataError

# TFDS' own format: a line for each URL with size, SHA-256 and name.
CHECKSUMS_FILE = "checksums.tsv"


def fetch(url: str, path: pathlib.Path) -> None:
    """Downloads a file; it appears under its path in one rename.

    Size and checksum are recorded in `checksums.tsv` beside the file, and whoever downloads it
    again must get the same.

    Args:
      url: where it is published.
      path: where it goes; its folder is made, and whatever an earlier, killed download of this file
        left there goes away.

    Raises:
      DataError: it cannot be fetched or written, or is another file than it was the first time.
    """
    # Slow to import, and most logs need no download.
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import checksums, download_manager

    record = path.parent / CHECKSUMS_FILE
    scratch = path.parent / f".download-{path.name}"
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        try:
            known = checksums.load_url_infos(record) if record.exists() else {}
        except (ValueError, AssertionError) as error:
            raise DataError(
                f"{record}: is damaged; remove it, and checksums are recorded anew."
            ) from error
        manager = tfds.download.DownloadManager(
            download_dir=scratch,
            url_infos=known,
            register_checksums=url not in known,
            register_checksums_path=record,
        )
        os.replace(manager.download(url), path)
    except download_manager.NonMatchingChecksumError as error:
        raise DataError(
            f"{url}: is not the file that {record} knows by its checksum; if it was published "
            "anew, remove its line there."
        ) from error
    except (OSError, tfds.download.DownloadError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{url}: cannot be downloaded ({reason}); fetch it in another way and put it at {path}."
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
