"""Replays DAA's golden cases: from the arrays of a case to the arrays that it should give."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

import tfcdr  # noqa: F401  (fixes the Keras generation)
from tests.compilation import compiled_or_plain
from tests.parity.aliexpress_preprocessing import processed_csv
from tests.parity.reference_layout import record
from tfcdr import optimizers
from tfcdr.label_prediction import metrics
from tfcdr.label_prediction.metrics import exact_auc
from tfcdr.stage_model import MODEL_OPTIMIZER
from tfcdr.systems.daa import reference
from tfcdr.systems.daa.adaptation import AdaptationModel, AlternatingModel, ReversalModel
from tfcdr.systems.daa.backbone import TASKS, Backbone
from tfcdr.systems.daa.config import DaaConfig
from tfcdr.systems.daa.critic import Critic, gradient_penalty, input_gradient, row_norms
from tfcdr.systems.daa.reference import ReferenceWeight
from tfcdr.systems.daa.system import Daa
from tfcdr.systems.daa.task_model import MetaTaskModel, TaskModel

Case = Mapping[str, np.ndarray]
Outputs = dict[str, np.ndarray]
Weights = Mapping[str, ReferenceWeight]

# Parameters whose gradient is 0 by analysis hold rounding noise of at most this.
NOISE = 1e-6


def replay(case: Case, jit_compile: bool = False) -> Outputs:
    """Rebuilds the model of a case and returns what the reference recorded, by the same keys.

    Args:
      case: the arrays of one golden file.
      jit_compile: whether steps run under XLA.
    """
    # What a case holds tells its kind.
    kinds: dict[str, Callable[[Case, bool], Outputs]] = {
        "in/user_train_csv": _replay_preprocessing,
        "in/pred": _replay_evaluation,
        "in/real": _replay_critic,
        "in/sup0_categorical": _replay_meta_step,
        "in/alpha0": _replay_adaptation_step,
        "in/alpha": _replay_adaptation_loop,
        "in/labels": _replay_backbone,
    }
    return next(function for key, function in kinds.items() if key in case)(case, jit_compile)


def _config(case: Case, prefix: str = "param/", **fields: Any) -> DaaConfig:
    """Reads the hyperparameters of a case; `prefix` is that of a network's weights."""
    return DaaConfig(
        backbone=_backbone(case, prefix),
        embedding_size=int(case["in/cfg_embed_dim"]),
        bottom_widths=tuple(map(int, case["in/cfg_bottom"])),
        tower_widths=tuple(map(int, case["in/cfg_tower"])),
        experts=int(case["in/cfg_expert_num"]),
        dropout=0.0,
        mixture_critics=int(case["in/cfg_critic_num"]),
        critic_mixture="mean",
        **fields,
    )


def _backbone(case: Case, prefix: str) -> str:
    """Tells the network by the names of its weights."""
    own = {
        "metaheac": "model.task_embedding.weight",
        "singletask": "embedding.0.embedding.weight",
        "sharedbottom": "bottom.mlp.0.weight",
        "aitm": "h1.weight",
        "ple": "task_experts.0.0.0.mlp.0.weight",
        "omoe": "gate.0.weight",
        "mmoe": "gate.0.0.weight",
    }
    return next(backbone for backbone, name in own.items() if prefix + name in case)


def _sizes(case: Case) -> tuple[tuple[int, ...], int]:
    return tuple(map(int, case["in/cfg_field_dims"])), int(case["in/cfg_numerical_num"])


def _load(weights: Weights, case: Case, prefix: str) -> None:
    for name, weight in weights.items():
        weight.assign(case[prefix + name])


def _compile(model: tf.keras.Model, case: Case, jit_compile: bool) -> None:
    settings = float(case["in/cfg_lr"]), float(case["in/cfg_weight_decay"])
    named = Daa().optimizers("adapt", model.config) | {
        MODEL_OPTIMIZER: optimizers.pytorch_adam(*settings)
    }
    named = {name: named[name] for name in model.optimizer_variables()}
    model.compile(named, jit_compile=jit_compile)
    model.build_optimizers()


def _batch(categorical: np.ndarray, numerical: np.ndarray, labels: np.ndarray) -> dict:
    return {
        "categorical": tf.constant(categorical, tf.int32),
        "numerical": tf.constant(numerical),
        **{task: tf.constant(labels[:, number]) for number, task in enumerate(TASKS)},
        "example_weight": tf.ones(len(labels)),
    }


def _step(model: tf.keras.Model, batch: dict, jit_compile: bool, *methods: str) -> dict[str, Any]:
    """Makes a train step and returns what methods gave within it, by their names."""
    made = record(model, *methods)
    compiled_or_plain(model.train_step, jit_compile)(batch)
    return made


def _values(
    weights: Weights, prefix: str = "", then: Mapping[int, tf.Tensor] | None = None
) -> Outputs:
    """Returns the values of weights now, or what they were `then`, by the ids of variables."""
    then = then or {}
    return {
        prefix + name: weight.to_reference(then.get(id(weight.variable), weight.variable).numpy())
        for name, weight in weights.items()
    }


def _is_running(name: str) -> bool:
    return name.endswith((".running_mean", ".running_var"))


def _parameters(weights: Weights) -> Weights:
    return {name: weight for name, weight in weights.items() if not _is_running(name)}


def _running(
    weights: Weights,
    prefix: str,
    case: Case,
    start: str,
    passes: int,
    then: Mapping[int, tf.Tensor] | None = None,
) -> Outputs:
    """Returns running values and the counters of passes in training mode, which we do not keep."""
    running = {name: weight for name, weight in weights.items() if _is_running(name)}
    outputs = _values(running, prefix, then)
    for name in running:
        # MetaHeac's towers see each task's features as a batch of their own.
        times = passes * (len(TASKS) if name.startswith("model.critic.") else 1)
        counter = f"{name.rpartition('.')[0]}.num_batches_tracked"
        outputs[prefix + counter] = case[start + counter] + times
    return outputs


def _gradients(
    weights: Weights, variables: Sequence[tf.Variable], gradients: Sequence[Any], prefix: str
) -> Outputs:
    dense = {
        id(variable): tf.convert_to_tensor(gradient).numpy()
        for variable, gradient in zip(variables, gradients, strict=True)
    }
    return {
        prefix + name: weight.to_reference(dense[id(weight.variable)])
        for name, weight in _parameters(weights).items()
    }


def _names(names: list[str]) -> np.ndarray:
    return np.array(names or [""])


def _without_gradient(case: Case, weights: Weights, prefix: str) -> list[str]:
    """Names what the release creates and does not use, so that we do not create it."""
    ignored = ("num_batches_tracked",)
    names = [key.removeprefix(prefix) for key in case if key.startswith(prefix)]
    return [name for name in names if name not in weights and not name.endswith(ignored)]


def _near_zero(case: Case, prefix: str, gradients: Outputs, before: str) -> list[str]:
    """Names the parameters whose gradient is rounding noise, in the order of the case."""
    names = [key.removeprefix(prefix) for key in case if key.startswith(prefix)]
    gradient_of = {key.removeprefix(before): value for key, value in gradients.items()}
    return [
        name for name in names if name in gradient_of and np.max(np.abs(gradient_of[name])) < NOISE
    ]


def _predict(network: Backbone, case: Case, key: str, prefix: str, mode: str) -> Outputs:
    categorical = tf.constant(case[f"{key}categorical"], tf.int32)
    prediction = network(categorical, case[f"{key}numerical"], training=mode == "train")
    return _prediction(prediction, f"{prefix}{mode}")


def _prediction(prediction: Any, prefix: str) -> Outputs:
    outputs = {
        f"{prefix}_y{task}": tf.sigmoid(logits).numpy()
        for task, logits in enumerate(tf.unstack(prediction.logits, axis=1))
    }
    return {**outputs, f"{prefix}_feat": prediction.features.numpy()}


def _replay_backbone(case: Case, jit_compile: bool) -> Outputs:
    def fresh_model() -> tuple[TaskModel, Weights]:
        model = TaskModel(_config(case), *_sizes(case))
        weights = reference.reference_weights(model.network)
        _load(weights, case, "param/")
        _compile(model, case, jit_compile)
        return model, weights

    model, weights = fresh_model()
    outputs = _predict(model.network, case, "in/", "out/", "eval")
    outputs |= _predict(model.network, case, "in/", "out/", "train")
    outputs |= _running(weights, "out/running/", case, "param/", 1)

    model, weights = fresh_model()
    batch = _batch(case["in/categorical"], case["in/numerical"], case["in/labels"])
    made = _step(model, batch, jit_compile, "loss_and_gradients")
    (losses, _), gradients = made["loss_and_gradients"]
    outputs["out/loss"] = losses["loss"].numpy()
    for number, task in enumerate(TASKS):
        outputs[f"out/loss{number}"] = losses[f"{task}_loss"].numpy()
    of_weights = _gradients(weights, model.trainable_variables, gradients, "grad/")
    unused = _without_gradient(case, weights, "param/")
    outputs |= of_weights
    outputs["out/zero_grad_params"] = _names(_near_zero(case, "param/", of_weights, "grad/"))
    outputs["out/params_without_grad"] = _names(unused)
    outputs |= _values(_parameters(weights), "after/")
    # A parameter without a gradient rests, its decay included.
    return outputs | {f"after/{name}": case[f"param/{name}"] for name in unused}


def _replay_critic(case: Case, jit_compile: bool) -> Outputs:
    real, fake, alpha = (tf.constant(case[f"in/{name}"]) for name in ("real", "fake", "alpha"))
    weight = float(case["in/cfg_gp_weight"])
    outputs: Outputs = {}
    for variant, kind in (("released", "released"), ("paper", "wasserstein")):
        config = DaaConfig(critic=kind, critic_hidden=int(case["in/cfg_hidden_dims"]))
        critic = Critic(int(case["in/cfg_input_dims"]), config)
        weights = reference.critic_weights(critic)
        _load(weights, case, "param/")

        def compute(critic: Critic = critic) -> tuple[Any, ...]:
            with tf.GradientTape(persistent=True) as tape:
                penalty = weight * gradient_penalty(
                    critic, real, fake, alpha, tf.ones(tf.shape(real)[0])
                )
                wasserstein = tf.reduce_mean(critic(fake)) - tf.reduce_mean(critic(real))
            gradients = {
                name: tape.gradient(loss, critic.trainable_variables, unconnected_gradients="zero")
                for name, loss in (("gp", penalty), ("wgan", wasserstein))
            }
            slope = input_gradient(critic, alpha * real + (1 - alpha) * fake)
            return penalty, slope, row_norms(slope), gradients

        penalty, slope, norms, gradients = compiled_or_plain(compute, jit_compile)()
        outputs |= {
            f"out/{variant}/d_real": critic(real)[:, tf.newaxis].numpy(),
            f"out/{variant}/d_fake": critic(fake)[:, tf.newaxis].numpy(),
            f"out/{variant}/input_grad": slope.numpy(),
            f"out/{variant}/input_grad_norm": norms.numpy(),
            f"out/{variant}/gp": penalty.numpy(),
        }
        for name, of_loss in gradients.items():
            outputs |= _gradients(
                weights, critic.trainable_variables, of_loss, f"grad/{variant}/{name}/"
            )
    return outputs


def _is_released_critic(case: Case, steps: int) -> bool:
    """Tells a critic that ends in a log-softmax: decay alone moves its weights, towards 0."""
    reach = 2 * steps * float(case["in/cfg_lr_d"])
    for key in (key for key in case if key.startswith("param/dis")):
        before = case[key]
        after = case.get(key.replace("param/", "after/", 1), np.inf * before)
        far = np.abs(before) > reach
        if np.any((after - before)[far] * before[far] >= 0):
            return False
    return True


class _AlternatingModel(AlternatingModel):
    """Interpolates by what a case recorded, and stops behind the critics' pass to be looked at."""

    def interpolation(self, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        return batch["alpha"]

    def critic_losses_and_gradients(self, batch: Mapping[str, tf.Tensor]) -> Any:
        result = super().critic_losses_and_gradients(batch)
        self.running_values()
        return result

    def running_values(self) -> list[tf.Tensor]:
        return [variable.read_value() for variable in self.network.non_trainable_variables]


class _ReversalModel(ReversalModel):
    """Interpolates by what a case recorded."""

    def interpolation(self, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        return batch["alpha"]


def _adaptation_model(
    kind: type[AdaptationModel], case: Case, steps: int, jit_compile: bool
) -> tuple[AdaptationModel, dict[str, Weights]]:
    """Builds a model with the weights of a case and maps the release's names, by prefix."""
    real_weights = case.get("in/cfg_real_coef", np.ones(2))
    config = _config(
        case,
        "param/tgt.",
        critic="released" if _is_released_critic(case, steps) else "wasserstein",
        real_weights=tuple(map(float, real_weights)),
        critic_hidden=int(case["in/cfg_hidden_dims"]),
        gradient_penalty=float(case["in/cfg_gp_weight"]),
        critic_steps=int(case.get("in/cfg_n_critic", 1)),
        critic_learning_rate=float(case["in/cfg_lr_d"]),
        click_weight=float(case["in/cfg_lr_c"]),
        conversion_weight=float(case["in/cfg_lr_ac"]),
        adversarial_weight=float(case["in/cfg_lr_e"]),
        adapt_l2=float(case["in/cfg_weight_decay"]),
    )
    model = kind(config, *_sizes(case))
    weights = {
        "tgt.": reference.reference_weights(model.network),
        **{
            f"dis{number}.": reference.critic_weights(critic)
            for number, critic in enumerate(model.critics)
        },
    }
    _load(reference.reference_weights(model.source_network), case, "param/src.")
    for prefix, of_network in weights.items():
        _load(of_network, case, f"param/{prefix}")
    _compile(model, case, jit_compile)
    return model, weights


def _adaptation_batch(case: Case, alpha: np.ndarray, index: Any = ()) -> dict:
    def rows(key: str) -> np.ndarray:
        return case[key][index]

    source = _batch(rows("in/s_categorical"), rows("in/s_numerical"), rows("in/t_labels"))
    target = _batch(rows("in/t_categorical"), rows("in/t_numerical"), rows("in/t_labels"))
    return {
        **{f"source_{key}": value for key, value in source.items() if key not in TASKS},
        **{f"target_{key}": value for key, value in target.items()},
        "alpha": tf.constant(alpha),
    }


def _replay_adaptation_step(case: Case, jit_compile: bool) -> Outputs:
    batch = _adaptation_batch(case, np.stack([case["in/alpha0"], case["in/alpha1"]]))
    outputs: Outputs = {}

    model, weights = _adaptation_model(_AlternatingModel, case, 1, jit_compile)
    real = model.real_features(batch)
    columns = batch["target_categorical"], batch["target_numerical"]
    fake = model.network(*columns, training=True).features
    outputs["out/src_feat"], outputs["out/src_feat1"] = (features.numpy() for features in real)
    outputs["out/tgt_feat"] = fake.numpy()

    model, weights = _adaptation_model(_AlternatingModel, case, 1, jit_compile)
    of_critics, of_model = "critic_losses_and_gradients", "loss_and_gradients"
    parts = ("losses_of_critics", of_critics, "running_values", of_model)
    made = _step(model, batch, jit_compile, *parts)
    for number, terms in enumerate(made["losses_of_critics"]):
        names = ("real_own", "real_cross", "fake", "gp", "loss")
        for name, term in zip(names, terms, strict=True):
            outputs[f"out/dis{number}/{name}"] = term.numpy()
    _, gradients = made[of_critics]
    for prefix in ("dis0.", "dis1."):
        outputs |= _gradients(weights[prefix], model.critic_variables, gradients, f"grad/{prefix}")
    running = map(id, model.network.non_trainable_variables)
    then = dict(zip(running, made["running_values"], strict=True))
    outputs |= _running(
        weights["tgt."], "out/running_after_critic/tgt.", case, "param/tgt.", 1, then
    )
    for number, critic in enumerate(model.critics):
        outputs[f"out/gen/d{number}_fake"] = tf.reduce_mean(critic(fake)).numpy()
    (losses, _), gradients = made[of_model]
    names = {
        "loss_click": "click_loss",
        "loss_conv": "conversion_loss",
        "g_cost": "adversarial_loss",
        "loss": "loss",
    }
    outputs |= {f"out/gen/{name}": losses[ours].numpy() for name, ours in names.items()}
    variables = model.network.trainable_variables
    of_network = _gradients(weights["tgt."], variables, gradients, "grad/tgt.")
    outputs |= of_network
    outputs["out/zero_grad_params"] = _names(
        _near_zero(case, "param/tgt.", of_network, "grad/tgt.")
    )
    for prefix, of_part in weights.items():
        outputs |= _values(_parameters(of_part), f"after/{prefix}")
    outputs |= _running(weights["tgt."], "out/running_after_gen/tgt.", case, "param/tgt.", 2)

    model, weights = _adaptation_model(_ReversalModel, case, 1, jit_compile)
    _, gradients = compiled_or_plain(model.loss_and_gradients, jit_compile)(batch)
    gradients = gradients[: len(variables)]
    variables = model.network.trainable_variables
    return outputs | _gradients(weights["tgt."], variables, gradients, "grad/joint/tgt.")


def _replay_adaptation_loop(case: Case, jit_compile: bool) -> Outputs:
    steps = len(case["in/alpha"])
    model, weights = _adaptation_model(_AlternatingModel, case, steps, jit_compile)
    step = compiled_or_plain(model.train_step, jit_compile)
    for number, alpha in enumerate(case["in/alpha"]):
        step(_adaptation_batch(case, alpha, number))
    outputs: Outputs = {}
    for prefix, of_part in weights.items():
        outputs |= _values(of_part, f"after/{prefix}")
    passes = steps + steps // model.config.critic_steps
    outputs |= _running(weights["tgt."], "after/tgt.", case, "param/tgt.", passes)
    first = {f"first/{name}": case[f"in/t_{name}"][0] for name in ("categorical", "numerical")}
    evaluated = _predict(model.network, first, "first/", "out/", "eval")
    return outputs | {key: value for key, value in evaluated.items() if key in case}


def _replay_meta_step(case: Case, jit_compile: bool) -> Outputs:
    outputs: Outputs = {}
    tags = [key.removeprefix("in/local_lr_") for key in case if key.startswith("in/local_lr_")]
    for tag in tags:
        outputs |= _replay_meta_step_of(case, tag, jit_compile)
    tag = tags[-1]
    of_tag = {key: value for key, value in outputs.items() if key.startswith(f"grad/{tag}/")}
    names = _near_zero(case, "param/", of_tag, f"grad/{tag}/")
    return outputs | {"out/zero_grad_params": _names(names)}


def _replay_meta_step_of(case: Case, tag: str, jit_compile: bool) -> Outputs:
    parts = sum(key.startswith("in/sup") and key.endswith("_categorical") for key in case)
    config = _config(
        case, meta_batches=parts, local_learning_rate=float(case[f"in/local_lr_{tag}"])
    )
    seed = tf.zeros(2, tf.int32)

    def fresh_model() -> tuple[MetaTaskModel, Weights]:
        model = MetaTaskModel(config, *_sizes(case))
        weights = reference.reference_weights(model.network)
        _load(weights, case, "param/")
        _compile(model, case, jit_compile)
        return model, weights

    def rows(part: int, half: str) -> dict:
        key = f"in/{half}{part}_"
        return _batch(case[f"{key}categorical"], case[f"{key}numerical"], case[f"{key}labels"])

    halves = [rows(part, half) for part in range(parts) for half in ("sup", "qry")]
    batch = {key: tf.concat([half[key] for half in halves], 0) for key in halves[0]}

    model, weights = fresh_model()
    outputs: Outputs = {}
    network = model.network

    def predict(part: int, task_embedding: tf.Tensor) -> np.ndarray:
        query = rows(part, "qry")
        prediction = network(
            query["categorical"], query["numerical"], training=True, task_embedding=task_embedding
        )
        return tf.sigmoid(prediction.logits).numpy()

    fast = None
    for part in range(parts):
        support = rows(part, "sup")
        slow = tf.convert_to_tensor(network.task_embedding)
        outputs[f"out/{tag}/sup_loss{part}"] = tf.reduce_mean(
            model.rows_losses(support, slow, seed)
        ).numpy()
        fast = model.fast_task_embedding(support, seed)
        outputs[f"out/{tag}/fast{part}/task_embedding.weight"] = fast.numpy()
        moved = predict(part, fast)
        for task in range(len(TASKS)):
            outputs[f"out/{tag}/qry_y{task}_{part}"] = moved[:, task]
        if part == 0:
            effect = np.max(np.abs(moved - predict(part, slow)))
            outputs[f"out/{tag}/task_fast_effect"] = effect
    # No other weight has a moved copy, so that none can have an effect.
    outputs[f"out/{tag}/other_fast_effect"] = np.float32(0)
    outputs[f"out/{tag}/n_params_with_fast"] = np.int64(len(_parameters(weights)))

    model, weights = fresh_model()
    made = _step(model, batch, jit_compile, "loss_and_gradients")
    (losses, _), gradients = made["loss_and_gradients"]
    outputs[f"out/{tag}/global_loss"] = losses["loss"].numpy()
    outputs |= _gradients(weights, model.trainable_variables, gradients, f"grad/{tag}/")
    outputs |= _running(weights, f"out/{tag}/running/", case, "param/", 2 * parts)
    outputs |= _values(_parameters(weights), f"after/{tag}/")
    first = [
        tf.concat([half[key] for half in halves[:2]], 0) for key in ("categorical", "numerical")
    ]
    for name, task_embedding in (("eval", None), ("eval_stale", fast)):
        prediction = model.network(*first, task_embedding=task_embedding)
        for task, logits in enumerate(tf.unstack(prediction.logits, axis=1)):
            outputs[f"out/{tag}/{name}_y{task}"] = tf.sigmoid(logits).numpy()
    return outputs


def _replay_evaluation(case: Case, jit_compile: bool) -> Outputs:
    del jit_compile
    of_tasks = list(zip(case["in/labels"].T, case["in/pred"].T, strict=True))
    chunks = [metrics.chunked(*of_task, int(case["in/chunk_rows"])) for of_task in of_tasks]
    outputs: Outputs = {}
    for name, ours, figure in (
        ("auc", "auc", exact_auc),
        ("logloss", "log_loss", metrics.log_loss),
    ):
        of_chunks = np.stack([of_task[ours] for of_task in chunks], 1)
        whole = [figure(*of_task) for of_task in of_tasks]
        outputs[f"out/chunk_{name}"] = of_chunks
        outputs[f"out/released_{name}"] = of_chunks.mean(0)
        outputs[f"out/global_{name}"] = np.array(whole)
    return outputs


def _replay_preprocessing(case: Case, jit_compile: bool) -> Outputs:
    del jit_compile
    outputs: Outputs = {}
    for part in ("train", "test"):
        raw = [str(case[f"in/{side}_{part}_csv"]) for side in ("user", "item")]
        for variant, numerical in (("", np.float32), ("_memory", np.float16)):
            outputs[f"out/{part}_csv{variant}"] = np.array(processed_csv(*raw, numerical))
    return outputs
