"""Replays BIAO's golden cases: from the arrays of a case to the arrays that it should give."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

import tfcdr  # noqa: F401  (fixes the Keras generation)
from tests.compilation import compiled_or_plain
from tests.parity import biao_data
from tests.parity.reference_layout import Steps, in_reference_layout, values
from tfcdr.label_prediction.metrics import exact_auc, log_loss
from tfcdr.stage_model import Batch
from tfcdr.systems.biao import reference
from tfcdr.systems.biao.conet import CoNet
from tfcdr.systems.biao.config import BiaoConfig
from tfcdr.systems.biao.history_attention import HistoryAttention
from tfcdr.systems.biao.importance import Behaviours
from tfcdr.systems.biao.model import (
    DESCENT,
    DEVELOPING,
    IMPORTANCE_OPTIMIZER,
    OUTER_STEP,
    TRAINING,
    BiaoModel,
)
from tfcdr.systems.biao.system import Biao
from tfcdr.systems.biao.tables import TableSizes, of_source, of_target, touched_rows

Case = Mapping[str, np.ndarray]
Outputs = dict[str, np.ndarray]

# The release's names of a batch's entries, and ours.
_ENTRIES = {
    "user": "user",
    "label": "liked",
    "candidate": "target_item",
    "can_cate": "target_category",
    "s_label": "source_liked",
    "s_candidate": "source_item",
    "s_can_cate": "source_category",
    "s_effect": "source_effect",
    "t_his": "target_history",
    "t_cate": "target_history_categories",
    "t_len": "target_length",
    "s_his": "source_history",
    "s_cate": "source_history_categories",
    "s_len": "source_length",
}
_FLOATS = ("liked", "source_liked")
# What the release does where the defaults mend it.
_RELEASED = {
    "padding": "attended",
    "normalisation": "softmax",
    "softmax_rows": "all",
    "decayed": "all",
    "prior_gate": "relu",
}


def replay(case: Case, jit_compile: bool = False) -> Outputs:
    """Rebuilds the model of a case and returns what the reference recorded, by the same keys.

    Args:
      case: the arrays of one golden file.
      jit_compile: whether steps run under XLA.
    """
    # What a case holds tells its kind.
    kinds: dict[str, Callable[[Case, bool], Outputs]] = {
        "in/reviews_source": lambda case, jit_compile: biao_data.replay(case),
        "in/cotangent": _replay_perceptron,
        "in/lr_calls": _replay_head,
        "in/low.user": _replay_loop,
        "in/val.user": _replay_hypergradient,
        "out/w_s": _replay_weighted_step,
        "out/loss_s": _replay_uniform_step,
        "out/meta_r_t": _replay_forward,
        "out/r_t": _replay_target_only,
    }
    return next(function for key, function in kinds.items() if key in case)(case, jit_compile)


def _model(case: Case, **fields: Any) -> BiaoModel:
    """Builds the model of a case with its weights, not compiled."""
    sizes = TableSizes(
        **{
            name: int(case[f"in/cfg_{key}"])
            for name, key in (
                ("user", "user_num"),
                ("target_item", "t_item_num"),
                ("target_category", "t_cate_num"),
                ("source_item", "s_item_num"),
                ("source_category", "s_cate_num"),
            )
        }
    )
    settings = {
        "learning_rate": "lr",
        "prior_weight": "prior_weight",
        "attention_heads": "heads",
        "neumann_step": "convlr",
        "neumann_terms": "truncate_iter",
        "importance_learning_rate": "hplr",
        "clip_norm": "max_grad_norm",
        "importance_decay": "weight_decay",
    }
    given = {
        name: case[f"in/cfg_{key}"].item()
        for name, key in settings.items()
        if f"in/cfg_{key}" in case
    }
    config = BiaoConfig(
        embedding_size=int(case["in/cfg_embed_dim"]),
        hidden_widths=tuple(map(int, case["in/cfg_dims"][1:])),
        **{**given, **_RELEASED, **fields},
    )
    categories = [str(number) for number in range(1, sizes.source_category + 1)]
    model = BiaoModel(config, sizes, int(case["in/cfg_s_hislen"]), categories)
    _load(model, case)
    return model


def _load(model: BiaoModel, case: Case) -> None:
    for name, weight in _all_weights(model).items():
        if f"param/{name}" in case:
            weight.assign(case[f"param/{name}"])


def _all_weights(model: BiaoModel) -> dict:
    weights = reference.reference_weights(model)
    return {**weights, **(_of_importance(model) if model.importance else {})}


def _of_importance(model: BiaoModel) -> dict:
    found = reference.importance_weights(model.importance)
    return {f"sel.{name}": weight for name, weight in found.items()}


def _compile(model: BiaoModel, jit_compile: bool) -> None:
    model.compile(Biao().optimizers("train", model.config), jit_compile=jit_compile)
    model.build_optimizers()


def _batch(case: Case, prefix: str = "in/", place: int | None = None) -> dict[str, tf.Tensor]:
    batch = {}
    for theirs, ours in _ENTRIES.items():
        array = case[prefix + theirs] if place is None else case[prefix + theirs][place]
        batch[ours] = tf.constant(array, tf.float32 if ours in _FLOATS else tf.int32)
    rows = tf.ones_like(batch["liked"])
    return {**batch, "example_weight": rows, "source_rating": 5 * batch["source_liked"]}


def _stacked(batches: list[Batch]) -> dict[str, tf.Tensor]:
    return {name: tf.stack([batch[name] for batch in batches]) for name in batches[0]}


def _replay_forward(case: Case, jit_compile: bool) -> Outputs:
    model, batch = _model(case), _batch(case)

    trunks = _trunks(model)

    def forward() -> dict[str, tf.Tensor]:
        logits = model.logits(model.tables, batch)
        whole = {**batch, "source_effect": tf.ones_like(batch["source_effect"])}
        found = {
            "r_s": tf.sigmoid(logits.source),
            "r_t": tf.sigmoid(logits.target),
            "meta_r_s": tf.sigmoid(logits.source),
            "meta_r_t": tf.sigmoid(logits.replacement),
            "bce_s": model.source_losses(logits, whole),
        }
        for name, of_head in (("bce_t", logits.target), ("meta_bce_t", logits.replacement)):
            found[name] = tf.nn.sigmoid_cross_entropy_with_logits(batch["liked"], of_head)
        for depth, trunk in enumerate(trunks):
            hidden = trunk.hidden(model.tables, batch)
            found |= {f"h_s_{depth}": hidden.source, f"h_t_{depth}": hidden.target}
        return found

    found = compiled_or_plain(forward, jit_compile)()
    return {f"out/{name}": value.numpy() for name, value in found.items()}


def _trunks(model: BiaoModel) -> list[CoNet]:
    """The backbone cut off behind each of its layers, whose states its last layers then are."""
    backbone, cuts = model.backbone, []
    for depth in range(len(backbone.target_layers) + 1):
        cut = CoNet(model.config)
        for kind in ("target_layers", "source_layers", "cross_layers"):
            setattr(cut, kind, getattr(backbone, kind)[:depth])
        cuts.append(cut)
    return cuts


def _replay_target_only(case: Case, jit_compile: bool) -> Outputs:
    model = _model(case, source_loss="none")
    outputs = {"out/r_t": model.probabilities(_batch(case)).numpy()}
    made, report = _inner_step(model, case, jit_compile)
    return outputs | made | {"out/loss": report["loss"]}


def _replay_uniform_step(case: Case, jit_compile: bool) -> Outputs:
    made, report = _inner_step(_model(case, source_loss="uniform"), case, jit_compile)
    return made | {
        "out/loss_t": report["target_loss"],
        "out/loss_s": report["source_loss"],
        "out/total_loss": report["loss"],
    }


def _replay_weighted_step(case: Case, jit_compile: bool) -> Outputs:
    # The released form also has the gradients that it leaves on the perceptron.
    is_released = any(key.startswith("out/unused_grad/") for key in case)
    form = "released" if is_released else "perceptron"
    model, batch = _model(case, importance_gradient=form), _batch(case)
    weights = model.behaviour_weights(model.tables, batch, batch)
    logits = model.logits(model.tables, batch)
    outputs = {
        "out/w_s": weights.numpy()[:, np.newaxis],
        "out/loss_s_vec": model.source_losses(logits, batch).numpy(),
    }
    if is_released:
        of_importance = _of_importance(model)
        variables = [weight.variable for weight in of_importance.values()]
        with tf.GradientTape() as tape:
            loss = model.compute_losses(batch).losses["loss"]
        slopes = dict(zip(map(id, variables), tape.gradient(loss, variables), strict=True))
        arrays = {key: slope.numpy() for key, slope in slopes.items()}
        outputs |= in_reference_layout(of_importance, "out/unused_grad", arrays)
    made, report = _inner_step(model, case, jit_compile)
    return outputs | made | {"out/loss_t": report["target_loss"], "out/total_loss": report["loss"]}


def _inner_step(
    model: BiaoModel, case: Case, jit_compile: bool
) -> tuple[Outputs, dict[str, np.ndarray]]:
    """Makes a step on the case's batch; returns gradients and next weights, and its losses."""
    _compile(model, jit_compile)
    steps = Steps(model, jit_compile)
    steps.train([_batch(case)])
    weights = reference.reference_weights(model)
    outputs = in_reference_layout(weights, "grad", steps.gradients())
    outputs |= in_reference_layout(weights, "after", values(model.trainable_variables))
    # Without learned weights there is no second head; the release has one that nothing moves.
    unmoved = {key: case[key] for key in case if key.startswith("param/replace_pred.")}
    outputs = {key.replace("param/", "after/"): value for key, value in unmoved.items()} | outputs
    return outputs, steps.losses()


def _replay_perceptron(case: Case, jit_compile: bool) -> Outputs:
    model = _model(case, importance_gradient="released")
    importance, batch = model.importance, _batch(case)
    length = case["in/s_his"].shape[1]
    outputs: Outputs = {}
    behaviours = Behaviours(
        of_source(model.tables, batch["source_item"], batch["source_category"]),
        of_source(model.tables, batch["source_history"], batch["source_history_categories"]),
        batch["source_length"],
        of_target(model.tables, batch["target_history"], batch["target_history_categories"]),
        batch["target_length"],
    )
    for side, attention, history, lengths in (
        ("s", importance.source_attention, behaviours.source_history, behaviours.source_length),
        ("t", importance.target_attention, behaviours.target_history, behaviours.target_length),
    ):
        outputs[f"out/{side}_mask"] = tf.sequence_mask(lengths, length, tf.float32).numpy()
        outputs[f"out/{side}_att"] = plain_attention(attention, history, behaviours.candidate)
        outputs[f"out/{side}_rep"] = attention(history, lengths, behaviours.candidate).numpy()
    relevance = importance.relevance(behaviours)[:, tf.newaxis]
    item_score = importance.item_score(behaviours.candidate)[:, tf.newaxis]
    outputs |= {
        "out/trans": relevance.numpy(),
        "out/item_weight": item_score.numpy(),
        "out/logits": (relevance * item_score).numpy(),
    }
    weights = _all_weights(model)
    variables = [weight.variable for weight in weights.values()]

    def weigh() -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            found = model.behaviour_weights(model.tables, batch, batch)
            total = tf.reduce_sum(case["in/cotangent"][:, 0] * found)
        zero = tf.UnconnectedGradients.ZERO
        slopes = tape.gradient(total, variables, unconnected_gradients=zero)
        return found, [tf.convert_to_tensor(slope) for slope in slopes]

    found, slopes = compiled_or_plain(weigh, jit_compile)()
    outputs["out/w_s"] = found.numpy()[:, np.newaxis]
    outputs["out/w_s_sum"] = np.sum(found)
    arrays = {
        id(variable): slope.numpy() for variable, slope in zip(variables, slopes, strict=True)
    }
    outputs |= in_reference_layout(weights, "grad", arrays)
    for name in ("neg", "big"):
        importance.domain_prior.assign([case[f"in/prior_{name}"]])
        again = model.behaviour_weights(model.tables, batch, batch)
        outputs[f"out/w_s_prior_{name}"] = again.numpy()[:, np.newaxis]
    return outputs


def plain_attention(
    attention: HistoryAttention, history: tf.Tensor, candidate: tf.Tensor
) -> np.ndarray:
    """Returns float [batch, T, 4e], every place's output as the SPEC writes it."""
    size = attention.query.kernel.shape[0] // 4
    beside = np.repeat(candidate.numpy()[:, np.newaxis], history.shape[1], axis=1)
    inputs = np.concatenate([history.numpy(), beside], axis=2)
    queries = inputs @ attention.query.kernel.numpy()
    keys, of_values = np.split(inputs @ attention.key_value.kernel.numpy(), 2, axis=2)
    outputs = []
    for first in range(0, queries.shape[2], size):
        head = slice(first, first + size)
        logits = queries[..., head] @ keys[..., head].swapaxes(1, 2) / np.sqrt(size)
        unscaled = np.exp(logits - logits.max(axis=2, keepdims=True))
        outputs.append(unscaled / unscaled.sum(axis=2, keepdims=True) @ of_values[..., head])
    return np.concatenate(outputs, axis=2) @ attention.output_projection.kernel.numpy()


def _replay_head(case: Case, jit_compile: bool) -> Outputs:
    model = _model(case)
    _compile(model, jit_compile)
    weights = reference.reference_weights(model)
    of_head = {name: weights[name] for name in ("replace_pred.weight", "replace_pred.bias")}
    variables = model.replacement_head.trainable_variables
    count = sum(key.endswith(".user") for key in case)
    batches = [_batch(case, f"in/b{number}.") for number in range(count)]
    with tf.GradientTape() as tape:
        replacement = model.logits(model.tables, batches[0]).replacement
        loss = tf.reduce_mean(
            tf.nn.sigmoid_cross_entropy_with_logits(batches[0]["liked"], replacement)
        )
    slopes = zip(variables, tape.gradient(loss, variables), strict=True)
    outputs = in_reference_layout(
        of_head, "grad", {id(variable): slope.numpy() for variable, slope in slopes}
    )
    outputs["out/loss"] = loss.numpy()
    descend = compiled_or_plain(model.descend, jit_compile)
    descend(_stacked(batches[:1]))
    outputs |= in_reference_layout(of_head, "after", values(variables))
    if count > 1:
        descend(_stacked(batches[1:]))
    outputs |= in_reference_layout(of_head, "after3", values(variables))
    rates = []
    for calls in case["in/lr_calls"]:
        model.optimizers[IMPORTANCE_OPTIMIZER].iterations.assign(int(calls))
        rates.append(float(model.head_learning_rate()))
    outputs["out/lr_after_calls"] = np.array(rates)
    return outputs


def _replay_hypergradient(case: Case, jit_compile: bool) -> Outputs:
    """Only the gradients tell which form a case is of: the source items' differ."""

    def error(form: str) -> float:
        model, batch = _model(case, importance_gradient=form), _batch(case, "in/train.")
        with tf.GradientTape() as tape:
            loss = model.compute_losses(batch).losses["loss"]
        slope = tf.convert_to_tensor(tape.gradient(loss, model.tables["source_item"]))
        return float(np.abs(slope - case["out/dtrain/s_itemid_emb.weight"]).max())

    return _hypergradient_outputs(case, min(("released", "perceptron"), key=error), jit_compile)


def _hypergradient_outputs(case: Case, form: str, jit_compile: bool) -> Outputs:
    model = _model(case, importance_gradient=form)
    training, developing = _batch(case, "in/train."), _batch(case, "in/val.")
    found = compiled_or_plain(model.hypergradient, jit_compile)(training, developing)
    weights = model.behaviour_weights(model.tables, training, training)
    outputs = {
        "out/val_loss": found.outer_loss.numpy(),
        "out/train_loss": found.inner_loss.numpy(),
        "out/w_s_train": weights.numpy()[:, np.newaxis],
        "out/total_norm": tf.linalg.global_norm(found.gradients).numpy(),
    }
    network = reference.reference_weights(model)
    outputs |= in_reference_layout(
        network, "out/dtrain", _whole(model, found.inner_gradients, case)
    )
    partial = [tf.zeros_like(value) for value in found.terms[0]]
    for number, term in enumerate(found.terms):
        partial = [total + value for total, value in zip(partial, term, strict=True)]
        outputs |= in_reference_layout(network, f"out/v{number}", _whole(model, term, case))
        outputs |= in_reference_layout(network, f"out/p{number}", _whole(model, partial, case))
    variables = model.importance.trainable_variables
    of_importance = _of_importance(model)

    def by_variable(arrays: list[tf.Tensor]) -> dict[int, np.ndarray]:
        return {id(of): array.numpy() for of, array in zip(variables, arrays, strict=True)}

    outputs |= in_reference_layout(of_importance, "out/hypergrad_raw", by_variable(found.gradients))
    clipped, _ = tf.clip_by_global_norm(found.gradients, model.config.clip_norm)
    outputs |= in_reference_layout(of_importance, "grad", by_variable(clipped))
    for prefix, decay in (("after", model.config.importance_decay), ("after_wd0", 0.0)):
        other = _model(case, importance_gradient=form, importance_decay=decay)
        _compile(other, jit_compile)
        other.apply_hypergradient(found.gradients)
        moved = values(other.importance.trainable_variables)
        outputs |= in_reference_layout(_of_importance(other), prefix, moved)
    return outputs


def _whole(model: BiaoModel, arrays: list[tf.Tensor], case: Case) -> dict[int, np.ndarray]:
    """Puts rows of tables back to their places; returns arrays by the id of their variable."""
    batches = [_batch(case, "in/train."), _batch(case, "in/val.")]
    rows = touched_rows(model.tables, model.backbone.reads(), batches).rows
    tables = list(model.tables.values())
    variables = [*tables, *model.backbone.trainable_variables]
    found = {}
    for variable, array in zip(variables, arrays, strict=True):
        whole = array.numpy()
        if any(variable is table for table in tables):
            (name,) = (name for name, table in model.tables.items() if table is variable)
            whole = np.zeros(variable.shape, np.float32)
            np.add.at(whole, rows[name].numpy(), array.numpy())
        found[id(variable)] = whole
    return found


def _replay_loop(case: Case, jit_compile: bool) -> Outputs:
    # The loop is the release's.
    model = _model(case, importance_gradient="released")
    _compile(model, jit_compile)
    weights, of_importance = reference.reference_weights(model), _of_importance(model)
    inner = compiled_or_plain(model.train_step, jit_compile)
    outer = compiled_or_plain(lambda feeds: model.periodic_step(OUTER_STEP, feeds), jit_compile)
    developing = [_batch(case, "in/meta.", place) for place in range(len(case["in/meta.user"]))]
    descent = _stacked(developing[: int(case["in/cfg_descent_step"])])
    outputs: Outputs = {}

    def weigh(batch: Batch) -> np.ndarray:
        return model.behaviour_weights(model.tables, batch, batch).numpy()[:, np.newaxis]

    times = 0
    for place in range(int(case["in/cfg_n_lower"])):
        batch = _batch(case, "in/low.", place)
        outputs[f"out/low{place}/w_s"] = weigh(batch)
        inner(batch)
        if (place + 1) % int(case["in/cfg_interval"]):
            continue
        name = f"out/meta{times}"
        of_outer = developing[times % len(developing)]
        training = _batch(case, "in/mtrain.", times)
        outputs |= {f"{name}/w_s_val": weigh(of_outer), f"{name}/w_s_train": weigh(training)}
        before = values(model.importance.trainable_variables)
        feeds = {DESCENT: descent, DEVELOPING: _stacked([of_outer]), TRAINING: _stacked([training])}
        report = outer(feeds)
        outputs[f"{name}/val_loss"] = report.losses["developing_loss"].numpy()
        outputs[f"{name}/train_loss"] = report.losses["training_loss"].numpy()
        head = weights["replace_pred.weight"]
        outputs[f"{name}/replace_pred.weight"] = head.to_reference(head.variable.numpy())
        after = values(model.importance.trainable_variables)
        outputs |= in_reference_layout(of_importance, f"{name}/after", after)
        # The step is SGD's, so that what moved the perceptron tells the gradient.
        config = model.config
        slopes = {
            key: (before[key] - after[key]) / config.importance_learning_rate
            - config.importance_decay * before[key]
            for key in before
        }
        outputs |= in_reference_layout(of_importance, f"{name}/hypergrad", slopes)
        times += 1
    final = values([*model.loss_variables, *model.replacement_head.trainable_variables])
    outputs |= in_reference_layout(weights, "after", final)
    moved = values(model.importance.trainable_variables)
    outputs |= in_reference_layout(of_importance, "after", moved)
    held_out = [_batch(case, "in/valid.", place) for place in range(len(case["in/valid.user"]))]
    labels = np.concatenate([batch["liked"] for batch in held_out])
    probabilities = np.concatenate([model.probabilities(batch) for batch in held_out])
    outputs["out/valid_auc"] = np.array(exact_auc(labels, probabilities))
    outputs["out/valid_logloss"] = np.array(log_loss(labels, probabilities))
    return outputs
