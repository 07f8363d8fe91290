"""Replays TiMiRec's golden cases: from the arrays of a case to the arrays that it should give."""

import json
import tempfile
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import tensorflow as tf

import tfcdr  # noqa: F401  (fixes the Keras generation)
from data_pipelines.logs import PARTS, InteractionLog
from data_pipelines.prepared import build
from data_pipelines.prepared.dataset import open_prepared
from data_pipelines.prepared.interaction_source import InteractionSource
from data_pipelines.splitting import splits
from data_pipelines.splitting.split_log import SplitLog, SplitOptions
from data_pipelines.views.example_options import ExampleOptions
from data_pipelines.views.roles import roles_of
from tests.compilation import compiled_or_plain
from tests.parity.reference_layout import (
    Steps,
    in_reference_layout,
    values,
)
from tfcdr import losses
from tfcdr.ranking import metrics
from tfcdr.systems.timirec import reference
from tfcdr.systems.timirec.config import TiMiRecConfig
from tfcdr.systems.timirec.model import FinetuningModel, InterestModel, PretrainingModel
from tfcdr.systems.timirec.system import TiMiRec

Case = Mapping[str, np.ndarray]
Outputs = dict[str, np.ndarray]

# The release stops after this many epochs in all, or without gain.
_EPOCHS_WITHOUT_GAIN = 20


def replay(case: Case, jit_compile: bool = False) -> Outputs:
    """Rebuilds the model of a case and returns what the reference recorded, by the same keys.

    Args:
      case: the arrays of one golden file.
      jit_compile: whether models and train steps run under XLA.
    """
    settings = json.loads(str(case["meta/config"]))
    replays: dict[str, Callable[[Case, dict, bool], Outputs]] = {
        "pretrain_train": _replay_training,
        "pretrain_eval": _replay_scoring,
        "finetune_train": _replay_training,
        "finetune_eval": _replay_scoring,
        "comirec": _replay_comirec,
        "bpr_softmax": _replay_bpr_softmax,
        "metrics": _replay_metrics,
        "metrics_ties": _replay_ties,
        "early_stop": _replay_early_stop,
        "pipeline": _replay_pipeline,
    }
    return replays[settings["case"]](case, settings, jit_compile)


def _model(case: Case, settings: dict) -> InterestModel:
    is_finetuning = settings.get("stage") == "finetune"
    config = TiMiRecConfig(
        variant=settings["model"],
        embedding_size=settings["emb_size"],
        attention_size=settings["attn_size"],
        interests=settings["K"],
        position_embedding=bool(settings["add_pos"]),
        transformer_layer=bool(settings.get("add_trm", False)),
        layers=settings.get("n_layers", 1),
        projection_dropout=settings["dropout"],
        temperature=settings.get("temp", 1.0),
        l2=settings["l2"],
        pretrain_learning_rate=settings["lr"],
        finetune_learning_rate=settings["lr"],
    )
    rows = settings["n_items"]
    kind = FinetuningModel if is_finetuning else PretrainingModel
    model = kind(config, settings["history_max"], rows, rows - 1)
    for name, weight in reference.reference_weights(model).items():
        weight.assign(case[f"param/{name}"])
    optimizers = TiMiRec().optimizers("finetune" if is_finetuning else "pretrain", config)
    (optimizer,) = optimizers.values()
    optimizer.beta_1, optimizer.beta_2 = settings["beta1"], settings["beta2"]
    optimizer.epsilon = settings["epsilon"]
    model.compile(optimizers)
    return model


def _moved(lengths: np.ndarray, time: int, sign: int) -> np.ndarray:
    """Places [batch, time] that turn padding at the end into padding in front (1), or back (-1)."""
    return (np.arange(time) + sign * lengths[:, np.newaxis]) % time


def _history(case: Case, prefix: str) -> np.ndarray:
    items, lengths = case[f"{prefix}history_items"], case[f"{prefix}lengths"]
    return np.take_along_axis(items, _moved(lengths, items.shape[1], 1), 1).astype(np.int32)


def _extraction(
    model: InterestModel, case: Case, jit_compile: bool, prefix: str = "in/"
) -> tuple[tf.Tensor, Outputs]:
    """Returns the interests and what the reference recorded on the way to them."""
    history, lengths = _history(case, prefix), case[f"{prefix}lengths"]
    extract = compiled_or_plain(model.extractor.extract, jit_compile)
    extraction = extract(tf.constant(history))
    places = _moved(lengths, history.shape[1], -1)[..., np.newaxis]

    def padded_behind(array: tf.Tensor) -> np.ndarray:
        return np.take_along_axis(array.numpy(), places, 1)

    hidden = "his_vectors" if model.config.variant == "timirec" else "his_pos_vectors"
    return extraction.interests, {
        hidden: padded_behind(extraction.hidden),
        "attn_logits": padded_behind(extraction.attention_logits),
        "attn": padded_behind(extraction.attention).transpose(0, 2, 1),
        "interest_vectors": extraction.interests.numpy(),
    }


def _outputs(outputs: Outputs, prefix: str = "out/") -> Outputs:
    return {f"{prefix}{name}": array for name, array in outputs.items()}


def _prediction(model: InterestModel, interests: tf.Tensor, history: np.ndarray) -> tuple:
    """Returns what fine-tuning makes of histories, and the user representation that ranks."""
    if isinstance(model, PretrainingModel):
        return {}, interests
    state = model.predictor.encode(tf.constant(history))
    logits = model.predictor.project(state)
    recorded = {"his_vector": state.numpy(), "pred_intent": logits.numpy()}
    return recorded, model.weighted(interests, tf.nn.softmax(logits))


def _replay_scoring(case: Case, settings: dict, jit_compile: bool) -> Outputs:
    model = _model(case, settings)
    interests, outputs = _extraction(model, case, jit_compile)
    recorded, user = _prediction(model, interests, _history(case, "in/"))
    prediction = model.score_candidates(user, case["in/item_id"]).numpy()
    return _outputs({**outputs, **recorded, "prediction": prediction})


def _replay_training(case: Case, settings: dict, jit_compile: bool) -> Outputs:
    model = _model(case, settings)
    history, items = _history(case, "in/"), case["in/item_id"].astype(np.int32)
    batch = {
        "history": tf.constant(history),
        "target_item": tf.constant(items[:, 0]),
        "negative_items": tf.constant(items[:, 1:]),
        "user": tf.zeros(len(items), tf.int32),
        "example_weight": tf.ones(len(items)),
    }
    interests, outputs = _extraction(model, case, jit_compile)
    vectors = model.training_items(batch)
    recorded, user = _prediction(model, interests, history)
    if isinstance(model, FinetuningModel):
        recorded["target_intent"] = model.target_nearness(interests, vectors[:, 0]).numpy()
    else:
        user = model.nearest_interest(interests, vectors[:, 0])
        nearness = tf.linalg.matvec(interests, vectors[:, 0]).numpy()
        recorded["target_intent"] = nearness
        # All interests of a single item are the same.
        single = case["in/lengths"] == 1
        recorded["idx_select"] = np.where(single, -1, nearness.argmax(1))
    outputs |= recorded | {
        "user_vector": user.numpy(),
        "prediction": tf.linalg.matvec(vectors, user).numpy(),
    }
    weights = reference.reference_weights(model)
    steps = Steps(model, jit_compile)
    made = steps.train([batch])
    slopes = in_reference_layout(weights, "grad", steps.gradients())
    names = {"loss": "loss", "bpr_loss": "ranking_loss", "kl_loss": "distillation_loss"}
    first = steps.losses()
    outputs |= {name: first[ours] for name, ours in names.items() if ours in first}
    made += steps.train([batch] * (settings["steps"] - 1))
    outputs["losses"] = np.array(made, np.float32)
    after = in_reference_layout(weights, "after", values(model.variables))
    return _outputs(outputs) | slopes | after


def _replay_comirec(case: Case, settings: dict, jit_compile: bool) -> Outputs:
    model = _model(case, settings)
    interests, scoring = _extraction(model, case, jit_compile, "in/eval_")
    scoring["prediction"] = model.score_candidates(interests, case["in/eval_item_id"]).numpy()
    return _replay_training(case, settings, jit_compile) | _outputs(scoring, "out/eval_")


def _replay_bpr_softmax(case: Case, settings: dict, jit_compile: bool) -> Outputs:
    del settings

    def differentiate(scores: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(scores)
            loss = tf.reduce_mean(losses.bpr_softmax(scores[:, 0], scores[:, 1:]))
        return loss, tape.gradient(loss, scores)

    outputs = {}
    for key in (key for key in case if key.startswith("in/prediction_")):
        name = key.removeprefix("in/prediction_")
        loss, slopes = compiled_or_plain(differentiate, jit_compile)(tf.constant(case[key]))
        outputs[f"out/loss_{name}"] = loss.numpy()
        outputs[f"grad/prediction_{name}"] = slopes.numpy()
    return outputs


def _metrics(ranks: np.ndarray, ks: list[int], suffix: str = "") -> Outputs:
    table = {
        f"out/{name}@{k}{suffix}": metrics.PER_RANK[name](ranks, k).mean()
        for name in ("HR", "NDCG")
        for k in ks
    }
    return {f"out/rank{suffix}": ranks.astype(np.int64), **table}


def _replay_metrics(case: Case, settings: dict, jit_compile: bool) -> Outputs:
    del jit_compile
    scores = tf.constant(case["in/scores"])
    ranks = metrics.pessimistic_ranks(scores[:, 0], scores[:, 1:]).numpy()
    return _metrics(ranks, settings["ks"])


def _replay_ties(case: Case, settings: dict, jit_compile: bool) -> Outputs:
    del jit_compile
    scores = tf.constant(case["in/scores"])
    worst = metrics.pessimistic_ranks(scores[:, 0], scores[:, 1:]).numpy()
    best = 1 + metrics.count_below(-scores[:, 1:], -scores[:, 0]).numpy()
    ks = settings["ks"]
    return _metrics(best, ks, "_best") | _metrics(worst, ks, "_worst")


def _replay_early_stop(case: Case, settings: dict, jit_compile: bool) -> Outputs:
    del jit_compile
    outputs = {}
    for key in (key for key in case if key.startswith("in/dev_metric_")):
        name, curve = key.removeprefix("in/dev_metric_"), case[key]
        stop = _released_stop(curve, settings["early_stop"])
        seen = curve[: stop if stop > 0 else None]
        # The release saves whenever the newest value equals the maximum so far.
        saved = 1 + np.flatnonzero(seen == np.maximum.accumulate(seen))[-1]
        outputs[f"out/stop_epoch_{name}"] = np.int64(stop)
        outputs[f"out/last_saved_epoch_{name}"] = saved
        outputs[f"out/reported_best_epoch_{name}"] = 1 + np.argmax(seen)
    return outputs


def _released_stop(curve: np.ndarray, patience: int) -> int:
    """The epoch, from 1, after which the release stops training, or -1: TiMiRec SPEC section 7."""
    for epoch in range(1, len(curve) + 1):
        seen = curve[:epoch]
        falls = epoch > _EPOCHS_WITHOUT_GAIN and np.all(np.diff(seen[-patience:]) <= 0)
        if falls or epoch - np.argmax(seen) > _EPOCHS_WITHOUT_GAIN:
            return epoch
    return -1


def _replay_pipeline(case: Case, settings: dict, jit_compile: bool) -> Outputs:
    """The release's split and samples, from its log through the view `leave_one_out`."""
    del jit_compile
    log = case["in/log"]
    table = pd.DataFrame(log, columns=["user_id", "item_id", "timestamp"])
    table = table.astype({"user_id": str, "item_id": str}).assign(domain="shop")
    whole = splits.split(InteractionLog(table, ("shop",), comparable_times=True), SplitOptions())
    users, items = (
        names.astype(np.int64)[codes]
        for names, codes in (
            (whole.log.users, whole.log.user),
            (whole.log.item_ids, whole.log.item),
        )
    )
    rows = zip(users.tolist(), items.tolist(), whole.log.times.tolist(), strict=True)
    parts = {
        row: PARTS[part]
        for row, part in zip(rows, whole.parts.tolist(), strict=True)
        if part < len(PARTS)
    }
    samples = _samples(whole, settings["history_max"])
    # Long enough for any history, so that its length is the place of its target.
    uncut = _samples(whole, len(log))
    outputs = {
        "out/n_items": np.int64(log[:, 1].max() + 1),
        "out/n_users": np.int64(log[:, 0].max() + 1),
    }
    for name, part in (("train", "train"), ("dev", "validation"), ("test", "test")):
        # In the order of the release's files, which is the log's.
        rows = [row for row in map(tuple, log.tolist()) if parts.get(row) == part]
        pairs = [(user, item) for user, item, _ in rows if (user, item) in samples[part]]
        histories = [samples[part][pair] for pair in pairs]
        padded = np.zeros((len(pairs), settings["history_max"]), np.int64)
        for row, history in zip(padded, histories, strict=True):
            row[: len(history)] = history
        columns = {
            "rows": rows,
            "user_id": [user for user, _ in pairs],
            "item_id": [item for _, item in pairs],
            "history_items": padded,
            "lengths": [len(history) for history in histories],
            "position": [len(uncut[part][pair]) for pair in pairs],
        }
        outputs |= {f"out/{name}/{column}": np.array(rows) for column, rows in columns.items()}
    return outputs


def _samples(whole: SplitLog, max_length: int) -> dict[str, dict[tuple[int, int], list[int]]]:
    """Cuts and reads a log: for each part the history of each user and target item."""
    samples = {}
    with tempfile.TemporaryDirectory() as folder:
        data_dir = f"{folder}/data"
        build.build(whole, data_dir)
        (roles,) = roles_of(["shop"], ["shop"], [], shared=False)
        options = ExampleOptions(max_length=max_length)
        data = InteractionSource(open_prepared(data_dir), roles, options)
        items = [0, *map(int, data.vocabulary("target").tokens)]
        for part in ("train", "validation", "test"):
            batches = data.batches("leave_one_out", part, batch_size=8, seed=0, epoch=0)
            samples[part] = {
                (int(data.prepared.users[user - 1]), items[target]): [
                    items[i] for i in history if i
                ]
                for batch in batches.as_numpy_iterator()
                for user, target, history, weight in zip(
                    *(batch[key] for key in ("user", "target_item", "history", "example_weight")),
                    strict=True,
                )
                if weight
            }
    return samples
