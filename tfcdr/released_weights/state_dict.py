"""PyTorch state dictionaries in formats that hold arrays and no code: `.npz` and safetensors.

In the release's environment, either of these lines makes one (PyTorch's own files are pickles,
which may run code when read):

    numpy.savez("weights.npz", **{k: v.cpu().numpy() for k, v in model.state_dict().items()})
    safetensors.torch.save_file(model.state_dict(), "weights.safetensors")
"""

import zipfile
import zlib
from collections.abc import Mapping

import numpy as np
import safetensors
import safetensors.numpy

from tfcdr.errors import RunError
from tfcdr.released_weights.layouts import ReferenceWeight, check_shapes


def read(path: str) -> dict[str, np.ndarray]:
    """Reads every array of a file by name.

    Args:
      path: of an `.npz` or `.safetensors` file, which its first bytes tell apart.

    Raises:
      RunError: the file cannot be read, or is neither.
    """
    try:
        with open(path, "rb") as file:
            is_archive = file.read(2) == b"PK"
        return _read_archive(path) if is_archive else safetensors.numpy.load_file(path)
    except (OSError, ValueError, TypeError, KeyError, EOFError) as error:
        raise _refusal(path, error) from error
    except (zipfile.BadZipFile, zlib.error, safetensors.SafetensorError) as error:
        raise _refusal(path, error) from error


def restore(
    weights: Mapping[str, ReferenceWeight], values: Mapping[str, np.ndarray], path: str
) -> list[str]:
    """Writes a file's arrays into a model; nothing changes if one does not fit.

    Args:
      weights: wanted, by the release's names.
      values: what the file holds; it may hold more.
      path: the file, for the message.

    Returns:
      The names that were written.

    Raises:
      RunError: a weight is missing or has another shape.
    """
    check_shapes(weights, {name: value.shape for name, value in values.items()}, path)
    for name, weight in weights.items():
        weight.assign(values[name])
    return list(weights)


def _refusal(path: str, error: Exception) -> RunError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return RunError(f"{path}: neither a NumPy archive of arrays nor a safetensors file ({reason}).")


def _read_archive(path: str) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)
