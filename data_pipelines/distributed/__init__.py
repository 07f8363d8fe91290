"""Conversion under Apache Beam: the steps of `prepared.build`, on any number of workers.

Only this package needs Apache Beam, which is an extra; `load_conversion` loads it.
"""

import importlib
import logging
from types import ModuleType

from data_pipelines.errors import DataError


def load_conversion() -> ModuleType:
    """Returns the module `conversion`.

    Raises:
      DataError: Apache Beam is not installed.
    """
    # Beam warns at every import that Google's libraries, which are its extra, are missing.
    logging.disable(logging.WARNING)
    try:
        import apache_beam  # noqa: F401
    except ImportError as error:
        raise DataError(
            "--engine=beam needs Apache Beam, which is not installed: pip install 'tfcdr[beam]', "
            "or use --engine=local."
        ) from error
    finally:
        logging.disable(logging.NOTSET)
    return importlib.import_module("data_pipelines.distributed.conversion")
