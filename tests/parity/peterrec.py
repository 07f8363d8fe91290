"""Replays PeterRec's golden cases: from the arrays of a case to the arrays that it should give."""

import json
import pathlib
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

import tfcdr  # noqa: F401  (fixes the Keras generation)
from data_pipelines.views import negative_sampling
from tests import real_data
from tests.compilation import compiled_or_plain
from tests.parity.reference_layout import (
    Steps,
    in_reference_layout,
    values,
)
from tfcdr import losses, optimizers
from tfcdr.layers import candidate_sampling
from tfcdr.ranking import metrics
from tfcdr.stage_model import MODEL_OPTIMIZER
from tfcdr.systems.peterrec import reference
from tfcdr.systems.peterrec.adapter import Adapter
from tfcdr.systems.peterrec.config import PeterRecConfig
from tfcdr.systems.peterrec.dilated_convolution import DilatedConvolution, prefers_time_major
from tfcdr.systems.peterrec.model import FinetuningModel, PretrainingModel

Case = Mapping[str, np.ndarray]
Outputs = dict[str, np.ndarray]

CHECKPOINT = pathlib.Path("peterrec_tf1_checkpoint/model_nextitnet_transfer_pretrain.ckpt")


def replay(case: Case, jit_compile: bool = False) -> Outputs:
    """Rebuilds the model of a case and returns what the reference recorded, by the same keys.

    Args:
      case: the arrays of one golden file.
      jit_compile: whether train steps run under XLA.
    """
    settings = json.loads(str(case["meta/config"]))
    # The variants of pre-training are told apart by what a case holds.
    kind = settings["case"].split("_")[0] if "var/allitem_embeddings" in case else settings["case"]
    replays: dict[str, Callable[[Case, dict, bool], Outputs]] = {
        "pretrain": _replay_pretraining,
        "finetune": _replay_finetuning,
        "eval_sampled": _replay_sampled_evaluation,
        "checkpoint_parity": _replay_checkpoint,
        "demo_data": _replay_demo_data,
        "loss_saturation": _replay_loss_saturation,
        "unit_ops": _replay_unit_ops,
    }
    return replays[kind](case, settings, jit_compile)


def _config(settings: dict, **fields: object) -> PeterRecConfig:
    return PeterRecConfig(
        channels=settings["channels"],
        dilations=tuple(settings["dilations"]),
        kernel_size=settings["kernel_size"],
        causal=settings["causal"],
        **fields,
    )


def _load(model: tf.keras.Model, case: Case, settings: dict) -> None:
    for name, weight in reference.reference_weights(model).items():
        weight.assign(case[f"var/{name}"])
    optimizer = optimizers.adam(settings["learning_rate"])
    optimizer.beta_1, optimizer.beta_2 = settings["beta1"], settings["beta2"]
    optimizer.epsilon = settings["epsilon"]
    model.compile({MODEL_OPTIMIZER: optimizer})


def _top_ids(scores: np.ndarray, k: int = 5) -> np.ndarray:
    """Ties go to the lower id."""
    return np.argsort(-scores, axis=-1, kind="stable")[..., :k].astype(np.int32)


class _RecordedSample(candidate_sampling.Sampler):
    """Hands out the ids and expected counts that a case recorded."""

    def __init__(self, case: Case) -> None:
        classes = len(case["sampled/log_uniform_prob"])
        self.probabilities = candidate_sampling.log_uniform_probabilities(classes)
        self.num_draws = int(case["sampled/num_tries"])
        self._ids = case["sampled/ids"].astype(np.int32)
        self._log_count = np.log(self.counts()).astype(np.float32)

    def counts(self) -> np.ndarray:
        if self.num_draws == len(self._ids):  # no repeat was drawn
            return self.probabilities * self.num_draws
        return candidate_sampling.expected_count(self.probabilities, self.num_draws)

    def draw(self, seed: tf.Tensor) -> candidate_sampling.Sample:
        return candidate_sampling.Sample(tf.constant(self._ids), tf.ones(len(self._ids), tf.bool))

    def _ids_at(self, uniform: tf.Tensor) -> tf.Tensor:
        raise NotImplementedError


def _replay_pretraining(case: Case, settings: dict, jit_compile: bool) -> Outputs:
    sampled = "sampled/ids" in case
    causal = settings["causal"]
    inputs = case["ids/itemseq_input"]
    config = _config(
        settings,
        pretrain_loss="sampled_softmax" if sampled else "full_softmax",
        loss_on_padding=True,
    )
    rows = settings["item_size"]

    model = PretrainingModel(config, inputs.shape[1] - causal, rows, np.ones(rows - 1))
    if sampled:
        model.sampler = _RecordedSample(case)
    _load(model, case, settings)

    def batch_of(items: np.ndarray) -> dict[str, tf.Tensor]:
        batch = {"example_weight": tf.ones(len(items))}
        if causal:
            return {**batch, "items": tf.constant(items)}
        return {
            **batch,
            "masked_items": tf.constant(items),
            "positions": tf.constant(case["mask/positions"]),
            "labels": tf.constant(case["mask/labels"]),
            "label_weight": tf.ones(case["mask/labels"].shape),
        }

    batch = batch_of(inputs)
    hidden, labels = model.hidden(batch), model.labels_and_weights(batch)[0]
    features = model.output_features(hidden)
    context = inputs[:, :-1] if causal else inputs
    activations = [activation.numpy() for activation in model.trunk.activations(context)]
    outputs = {
        "out/hidden": activations[-1],
        "out/loss_per_position": model.position_losses(features, labels).numpy(),
        "out/loss": model.compute_losses(batch).losses["loss"].numpy(),
    }
    if not sampled:
        outputs["out/logits"] = model.score_catalogue(features).numpy()
        outputs["act/embedding"] = activations[0]
        for block, activation in enumerate(activations[1:]):
            outputs[f"act/block_{block}"] = activation
    outputs |= _predict(model, case, causal)
    weights = reference.reference_weights(model)
    steps = Steps(model, jit_compile)
    steps.train([batch])
    outputs |= in_reference_layout(weights, "grad", steps.gradients())
    outputs |= in_reference_layout(weights, "after", values(model.variables))
    if sampled:
        sampler = model.sampler
        outputs["sampled/log_uniform_prob"] = sampler.probabilities
        outputs["sampled/sampled_expected_count"] = sampler.counts()[case["sampled/ids"]]
        outputs["sampled/true_expected_count"] = sampler.counts()[labels.numpy()]
    if "multi/itemseq_input" in case:
        steps.restart()
        batches = [batch_of(items) for items in case["multi/itemseq_input"]]
        outputs["multi/loss"] = np.array(steps.train(batches), np.float32)
        outputs |= in_reference_layout(weights, "multi_after", values(model.variables))
    return outputs


def _predict(model: PretrainingModel, case: Case, causal: bool) -> Outputs:
    """Scores the last position over the whole catalogue."""
    key = "ids/predict_itemseq_input"
    items = case[key] if key in case else case["ids/itemseq_input"]
    context = items[:, :-1] if causal else items
    logits = model.score_catalogue(model.output_features(model.trunk(context)[:, -1]))
    probabilities = tf.nn.softmax(logits).numpy()
    top = _top_ids(probabilities)
    outputs = {
        "predict/top5_id": top,
        "predict/top5_prob": np.take_along_axis(probabilities, top, -1),
    }
    if not causal:
        return {**outputs, "predict/prob_last": probabilities}
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(items[:, -1], logits)
    return {
        **outputs,
        "predict/logits_last": logits.numpy(),
        "predict/loss_last": tf.reduce_mean(loss).numpy(),
    }


def _replay_finetuning(case: Case, settings: dict, jit_compile: bool) -> Outputs:
    config = _config(
        settings,
        insertion=settings["insertion"],
        cardinality=settings["cardinality"],
        loss=settings["loss"],
        l2=settings["l2"],
    )

    max_length = case["ids/context"].shape[1] - (1 if settings["causal"] else 2)
    num_targets = settings["target_size"] - 1
    model = FinetuningModel(config, max_length, settings["item_size"], num_targets)
    _load(model, case, settings)

    def batch_of(context: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> dict:
        return {
            "context": tf.constant(context),
            "target_item": tf.constant(positive),
            "negative_items": tf.constant(negative[:, np.newaxis]),
            "example_weight": tf.ones(len(context)),
        }

    batch = batch_of(case["ids/context"], case["ids/positive"], case["ids/negative"])
    activations = [activation.numpy() for activation in model.trunk.activations(batch["context"])]
    user = model.encode(batch["context"])
    step_losses = model.compute_losses(batch).losses
    catalogue = model.score_catalogue(user).numpy()
    outputs = {
        "out/hidden": activations[-1],
        "out/user": user.numpy(),
        "out/pos_logit": model.score_candidates(user, batch["target_item"][:, None])[:, 0].numpy(),
        "out/neg_logit": model.score_candidates(user, batch["negative_items"])[:, 0].numpy(),
        "out/loss": step_losses["loss"].numpy(),
        f"out/loss_{settings['loss']}": step_losses["data_loss"].numpy(),
        "out/loss_reg": model.penalty(batch).numpy(),
        "eval/full_logits": catalogue,
        "eval/full_top5_id": _top_ids(catalogue),
    }
    for block, activation in enumerate(activations[1:]):
        outputs[f"act/block_{block}"] = activation
    if "eval/candidates" in case:
        scores = model.score_candidates(user, case["eval/candidates"]).numpy()
        outputs |= {"eval/scores": scores, "eval/top5_slot": _top_ids(scores)}
    weights = reference.reference_weights(model)
    steps = Steps(model, jit_compile)
    steps.train([batch])
    outputs |= in_reference_layout(weights, "grad", steps.gradients())
    outputs |= in_reference_layout(weights, "after", values(model.trainable_variables))
    if "sampler/prob" in case:
        outputs |= _replay_lambdafm(case, catalogue)
    if "multi/context" not in case:
        return outputs
    steps.restart()
    batches = [
        batch_of(*arrays)
        for arrays in zip(
            case["multi/context"], case["multi/positive"], case["multi/negative"], strict=True
        )
    ]
    outputs["multi/loss"] = np.array(steps.train(batches), np.float32)
    after = values(model.trainable_variables)
    return outputs | in_reference_layout(weights, "multi_after", after)


def _replay_lambdafm(case: Case, logits: np.ndarray) -> Outputs:
    frequency = case["sampler/frequency"]
    top, rank, hit, reciprocal = _released_catalogue_metrics(logits, case["ids/positive"])
    outputs = {
        "eval/full_rank": rank,
        "eval/full_hit5": hit,
        "eval/full_mrr5": reciprocal,
        "sampler/rank": _frequency_ranks(frequency),
        "sampler/prob": _lambdafm_probabilities(frequency, float(case["sampler/rho"])),
    }
    top, rank, hit, reciprocal = _released_catalogue_metrics(
        case["catalogue/logits"], case["catalogue/true_id"]
    )
    return outputs | {
        "catalogue/top5_id": top,
        "catalogue/rank": rank,
        "catalogue/hit5": hit,
        "catalogue/mrr5": reciprocal,
    }


def _frequency_ranks(frequency: np.ndarray) -> np.ndarray:
    """Rank of each id by falling frequency, ties to the lower id; our ids are in this order."""
    ranks = np.empty(len(frequency), np.int64)
    ranks[np.argsort(-frequency, kind="stable")] = np.arange(len(frequency))
    return ranks


def _lambdafm_probabilities(frequency: np.ndarray, rho: float) -> np.ndarray:
    weights = negative_sampling.lambdafm_weights(np.sort(frequency)[::-1], rho)
    return (weights / weights.sum())[_frequency_ranks(frequency)]


def _released_catalogue_metrics(
    logits: np.ndarray, positive: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The release ranks all ids, 0 included, and gives ties to the lower id."""
    top = _top_ids(logits)
    found = top == positive[:, np.newaxis]
    rank = np.where(found.any(1), found.argmax(1), -1)
    reciprocal = np.where(rank >= 0, 1.0 / (rank + 1.0 + (rank < 0)), 0.0)
    return top, rank, np.mean(rank >= 0), np.mean(reciprocal)


def _replay_sampled_evaluation(case: Case, settings: dict, jit_compile: bool) -> Outputs:
    del jit_compile
    scores, slot, k = case["scores"], settings["positive_slot"], settings["k"]
    negatives_only = np.delete(scores, slot, axis=1)
    ranks = metrics.pessimistic_ranks(scores[:, slot], negatives_only).numpy()
    table = {name: metrics.PER_RANK[name](ranks, k) for name in ("HR", "MRR", "NDCG")}
    return {
        "rank": _released_ranks(ranks, k),
        f"top{k}_slot": _top_ids(scores, k),
        f"hit{k}_per_user": table["HR"],
        f"hr{k}": table["HR"].mean(),
        f"mrr{k}_per_user": table["MRR"],
        f"mrr{k}": table["MRR"].mean(),
        f"ndcg{k}_per_user": table["NDCG"],
        f"ndcg{k}": table["NDCG"].mean(),
    }


def _released_ranks(ranks: np.ndarray, k: int) -> np.ndarray:
    """The release counts from 0 and writes -1 outside the top k."""
    return np.where(ranks <= k, ranks - 1, -1)


def released_checkpoint() -> pathlib.Path:
    """Where the released checkpoint is looked for; it may be absent."""
    return real_data.root() / CHECKPOINT


def _replay_checkpoint(case: Case, settings: dict, jit_compile: bool) -> Outputs:
    del jit_compile
    items, rows = case["ids/pretrain"], settings["item_size"]
    config = _config(settings, pretrain_loss="full_softmax")
    model = PretrainingModel(config, items.shape[1] - 1, rows, np.ones(rows - 1))
    reference.load_checkpoint(model, str(released_checkpoint()))
    hidden = model.trunk(items[:, :-1])
    logits = model.score_catalogue(model.output_features(hidden))
    position_losses = tf.nn.sparse_softmax_cross_entropy_with_logits(items[:, 1:], logits).numpy()
    last = logits[:, -1].numpy()
    probabilities = tf.nn.softmax(last).numpy()
    top = _top_ids(last)
    positive = np.take_along_axis(last, items[:, -1:], 1)[:, 0]
    others = np.where(np.arange(rows) == items[:, -1:], -np.inf, last)
    ranks = metrics.pessimistic_ranks(positive, others).numpy()
    finetuning_config = _config(settings, adaptation="fine_tune_all")
    finetuning = FinetuningModel(finetuning_config, items.shape[1], rows, num_targets=1)
    reference.load_checkpoint(finetuning, str(released_checkpoint()))
    return {
        "pretrain/hidden_last": hidden[:, -1].numpy(),
        "pretrain/logits_last": last,
        "pretrain/loss_all_positions": position_losses.mean(),
        "pretrain/loss_last_per_row": position_losses[:, -1],
        "pretrain/rank": _released_ranks(ranks, 5),
        "pretrain/top5_id": top,
        "pretrain/top5_prob": np.take_along_axis(probabilities, top, -1),
        "pretrain/hit5": metrics.PER_RANK["HR"](ranks, 5).mean(),
        "pretrain/mrr5": metrics.PER_RANK["MRR"](ranks, 5).mean(),
        "pretrain/ndcg5": metrics.PER_RANK["NDCG"](ranks, 5).mean(),
        "finetune/hidden_cls_no_patch": finetuning.encode(case["ids/finetune_context"]).numpy(),
    }


def _replay_demo_data(case: Case, settings: dict, jit_compile: bool) -> Outputs:
    """The release's examples, split and sampler from its parsed ids."""
    del jit_compile
    sources, targets = case["finetune/source_ids"], case["finetune/target_ids"]
    examples, frequency = [], np.zeros(len(case["vocab/target_tokens"]) - 1, np.int64)
    for source, row in zip(sources, targets, strict=True):
        for target in row[row > 0]:  # rows with fewer targets are filled with 0
            examples.append([*source, 0, target])
            frequency[target - 1] += 1
    causal = np.array(examples, np.int32)
    outputs = {
        "finetune/examples_causal": causal,
        "finetune/examples_noncausal": np.insert(causal, 0, 0, axis=1),
        "lambdafm/frequency": frequency,
        "lambdafm/rank": _frequency_ranks(frequency),
        "lambdafm/prob": _lambdafm_probabilities(frequency, settings["rho"]),
    }
    for stage, rows in (("pretrain", len(case["pretrain/ids"])), ("finetune", len(examples))):
        generator = np.random.RandomState(settings["shuffle_seed"])
        outputs[f"{stage}/shuffle"] = generator.permutation(np.arange(rows))
        outputs[f"{stage}/n_train"] = np.int64(
            rows - int(settings[f"{stage}_valid_fraction"] * rows)
        )
    return outputs


def _replay_loss_saturation(case: Case, settings: dict, jit_compile: bool) -> Outputs:
    del settings, jit_compile
    logit = tf.constant(case["logit"].astype(np.float64))
    zero, far = tf.zeros_like(logit), tf.fill(logit.shape, tf.constant(1e3, tf.float64))
    terms = {
        # Against a term that is 0 because its own logit is far on the right side.
        "pos": lambda: losses.pairwise_cross_entropy(logit, -far[:, None]),
        "neg": lambda: losses.pairwise_cross_entropy(far, logit[:, None]),
        "bpr": lambda: losses.bayesian_personalized_ranking(logit, zero[:, None]),
    }
    outputs = {}
    for name, term in terms.items():
        with tf.GradientTape() as tape:
            tape.watch(logit)
            value = term()
        outputs[f"stable/{name}_term"] = value.numpy()
        outputs[f"stable/{name}_grad"] = tape.gradient(value, logit).numpy()
    return outputs


def _replay_unit_ops(case: Case, settings: dict, jit_compile: bool) -> Outputs:
    del settings
    apply = compiled_or_plain(lambda layer, x: layer(x), jit_compile)
    time_major = prefers_time_major()
    layout = (1, 0, 2) if time_major else (0, 1, 2)
    outputs = {}
    for key in (key for key in case if key.startswith("conv/y_")):
        kernel_size, dilation, padding = key.removeprefix("conv/y_").split("_")
        kernel = case[f"conv/weight_{kernel_size}"][0]
        layer = DilatedConvolution(
            kernel.shape[-1],
            len(kernel),
            int(dilation[1:]),
            padding == "causal",
            time_major,
            "zeros",
        )
        x = tf.transpose(case["conv/x"], layout)
        layer.build(x.shape)
        layer.set_weights([kernel, case[f"conv/bias_{kernel_size}"]])
        outputs[key] = tf.transpose(apply(layer, x), layout).numpy()
    x = tf.constant(case["gelu/x"])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.nn.gelu(x, approximate=True)
    outputs["gelu/y"], outputs["gelu/dy"] = y.numpy(), tape.gradient(y, x).numpy()
    norm = tf.keras.layers.LayerNormalization(epsilon=1e-8)
    norm.build(case["layer_norm/x"].shape)
    norm.set_weights([case["layer_norm/gamma"], case["layer_norm/beta"]])
    outputs["layer_norm/y"] = norm(case["layer_norm/x"]).numpy()
    for scope in sorted({"/".join(key.split("/")[:2]) for key in case if key.startswith("patch/")}):
        adapter = Adapter(
            int(scope.removeprefix("patch/card")),
            tf.keras.initializers.Zeros,
            tf.keras.initializers.Zeros,
        )
        adapter.build(case[f"{scope}/x"].shape)
        for name, weight in reference.adapter_weights(adapter).items():
            weight.assign(case[f"{scope}/{name}"])
        outputs[f"{scope}/y"] = apply(adapter, case[f"{scope}/x"]).numpy()
    return outputs
