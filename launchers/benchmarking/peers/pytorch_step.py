"""What contenders in PyTorch have in common: the import, and a train step as a workload.

Imports nothing but the standard library and `child_process`, like it.
"""

import time
from collections.abc import Callable
from typing import Any

from child_process import Refusal, Workload


def import_torch() -> Any:
    """Returns the module `torch`, which computes on a GPU where it sees one, as TensorFlow does.

    Raises:
      Refusal: it cannot be imported.
    """
    try:
        import torch
    except ImportError as error:
        raise Refusal(
            f"PyTorch cannot be imported ({error}): pip install 'tfcdr[benchmark]', or name an "
            "environment that has it by --peer_python=PATH/bin/python."
        ) from error
    if torch.cuda.is_available():
        torch.set_default_device("cuda")
        torch.set_float32_matmul_precision("high")  # TF32, TensorFlow's own choice
    return torch


def step_workload(
    step: Callable[[], None], model: Any, batch_size: int, **versions: str
) -> Workload:
    """Makes one step, and returns the workload that makes more.

    Args:
      step: makes a train step.
      model: the `torch.nn.Module` that it trains.
      batch_size: examples in a step.
      **versions: of packages besides PyTorch.
    """
    torch = import_torch()
    started = time.perf_counter()
    step()
    return Workload(
        {"step": step},
        finish=torch.cuda.synchronize if torch.cuda.is_available() else lambda: None,
        facts={
            "parts": ["step"],
            "batch_size": batch_size,
            "parameters": sum(weight.numel() for weight in model.parameters()),
            "compile_seconds": round(time.perf_counter() - started, 2),
            **versions,
            "torch": torch.__version__,
        },
    )
