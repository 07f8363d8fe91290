"""The contender "recbole": a sequential model of RecBole, on PyTorch.

RecBole's own model, loss and optimizer on batches in memory. It predicts the last item of a
history by a full softmax, where NextItNet's pre-training here predicts every item by a sampled
one: an example is one history in both. Needs the extra `tfcdr[benchmark]`, in this or in another
environment (`--peer_python`).
"""

import itertools
import logging
import time
import types
from typing import Any

# Started as a script, because the package around it imports TensorFlow.
from contender import Refusal, Workload, serve


def set_up(settings: dict[str, Any]) -> Workload:
    """Builds the model and makes one step.

    Args:
      settings: "model" ("NextItNet" or "SASRec"), "channels", "dilations", "kernel_size",
        "items", "length", "batch_size".

    Raises:
      Refusal: RecBole cannot be imported.
    """
    try:
        import recbole
        import torch
        from recbole.config import Config
        from recbole.data.interaction import Interaction
        from recbole.utils import get_model
    except (ImportError, AttributeError) as error:  # AttributeError: NumPy 2, which it predates
        raise Refusal(
            f"RecBole cannot be imported ({error}): pip install 'tfcdr[benchmark]' in an "
            "environment of its own and name it by --peer_python=PATH/bin/python."
        ) from error
    logging.disable(logging.CRITICAL)
    torch.manual_seed(0)
    length, channels, batch = (settings[name] for name in ("length", "channels", "batch_size"))
    config = Config(
        model=settings["model"],
        dataset="generated",
        config_dict={
            "embedding_size": channels,
            "hidden_size": channels,
            "inner_size": 4 * channels,
            "MAX_ITEM_LIST_LENGTH": length,
            # RecBole repeats its dilations in every block, two of which make one of ours.
            "dilations": settings["dilations"][:2],
            "block_num": len(settings["dilations"]) // 2,
            "kernel_size": settings["kernel_size"],
            "loss_type": "CE",
            "train_neg_sample_args": None,
            "reproducibility": False,
        },
    )
    # Of a data set the models read nothing but the number of items, padding included.
    items = settings["items"]
    model = get_model(settings["model"])(
        config, types.SimpleNamespace(num=lambda field: items + 1)
    ).to(config["device"])
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    batches = itertools.cycle(
        [
            Interaction(
                {
                    "item_id_list": torch.randint(1, items + 1, (batch, length)),
                    "item_length": torch.full((batch,), length),
                    "item_id": torch.randint(1, items + 1, (batch,)),
                }
            ).to(config["device"])
            for _ in range(16)
        ]
    )

    def step() -> None:
        optimizer.zero_grad()
        model.calculate_loss(next(batches)).backward()
        optimizer.step()

    started = time.perf_counter()
    step()
    return Workload(
        {"step": step},
        finish=torch.cuda.synchronize if torch.cuda.is_available() else lambda: None,
        facts={
            "parts": ["step"],
            "batch_size": batch,
            "parameters": sum(weight.numel() for weight in model.parameters()),
            "compile_seconds": round(time.perf_counter() - started, 2),
            "recbole": recbole.__version__,
            "torch": torch.__version__,
        },
    )


if __name__ == "__main__":
    serve(set_up)
