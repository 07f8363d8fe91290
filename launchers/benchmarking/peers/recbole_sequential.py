"""The contender "recbole": a sequential model of RecBole, on PyTorch.

RecBole's own model, loss and optimizer on batches in memory. For PeterRec it predicts the last item
of a history by a full softmax, where NextItNet's pre-training here predicts every item by a sampled
one; for TiMiRec it ranks that item before one negative (BPR), as TiMiRec does. An example is one
history in all. Needs the extra `tfcdr[benchmark]`, in this or in another
environment (`--peer_python`).
"""

import itertools
import logging
import types
from typing import Any

# Runs as a script, because the packages around it import TensorFlow.
from child_process import Refusal, Workload, serve
from pytorch_step import step_workload


def set_up(settings: dict[str, Any]) -> Workload:
    """Builds the model and makes one step.

    Args:
      settings: "model" ("NextItNet" or "SASRec"), "channels", "layers" and "heads" of SASRec,
        "dilations" and "kernel_size" of NextItNet, "loss" ("CE" or "BPR"), "items", "length",
        "batch_size".

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
            "n_layers": settings["layers"],
            "n_heads": settings["heads"],
            **_nextitnet(settings),
            "loss_type": settings["loss"],
            "reproducibility": False,
            # The batches below bring their negatives.
            **({"train_neg_sample_args": None} if settings["loss"] == "CE" else {}),
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
                    "neg_item_id": torch.randint(1, items + 1, (batch,)),
                }
            ).to(config["device"])
            for _ in range(16)
        ]
    )

    def step() -> None:
        optimizer.zero_grad()
        model.calculate_loss(next(batches)).backward()
        optimizer.step()

    return step_workload(step, model, batch, recbole=recbole.__version__)


def _nextitnet(settings: dict[str, Any]) -> dict[str, Any]:
    if settings["model"] != "NextItNet":
        return {}
    return {
        # RecBole repeats its dilations in every block, two of which make one of ours.
        "dilations": settings["dilations"][:2],
        "block_num": len(settings["dilations"]) // 2,
        "kernel_size": settings["kernel_size"],
    }


if __name__ == "__main__":
    serve(set_up)
