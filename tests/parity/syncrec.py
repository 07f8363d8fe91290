"""Replays SyNCRec's golden cases: from the arrays of a case to the arrays that it should give."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import tensorflow as tf

import tfcdr  # noqa: F401  (fixes the Keras generation)
from data_pipelines.logs import InteractionLog
from data_pipelines.prepared import build
from data_pipelines.prepared.dataset import open_prepared
from data_pipelines.prepared.interaction_source import InteractionSource
from data_pipelines.splitting import splits
from data_pipelines.splitting.split_log import SplitOptions
from data_pipelines.views.example_options import ExampleOptions
from data_pipelines.views.roles import roles_of
from tests.compilation import compiled_or_plain
from tests.parity.reference_layout import Steps, in_reference_layout, values
from tfcdr.ranking import metrics
from tfcdr.systems.syncrec import reference
from tfcdr.systems.syncrec.config import SyncRecConfig
from tfcdr.systems.syncrec.draws import Draws, NoDraws
from tfcdr.systems.syncrec.gate import PartitionedGates, PlainGates
from tfcdr.systems.syncrec.model import DomainLosses, SyncRecModel, TrainingOutputs
from tfcdr.systems.syncrec.network import TaskOutputs
from tfcdr.systems.syncrec.system import SyncRec

Case = Mapping[str, np.ndarray]
Outputs = dict[str, np.ndarray]

# The release's first domain has this type; ours is 1.
_BEFORE_FIRST = reference.SPECIAL_TYPES - 1
_TYPE_TABLE = "type_embeddings.weight"


def replay(case: Case, jit_compile: bool = False) -> Outputs:
    """Rebuilds the model of a case and returns what the reference recorded, by the same keys.

    Args:
      case: the arrays of one golden case, of all its files.
      jit_compile: whether what is computed runs under XLA.
    """
    settings = json.loads(str(case["meta/config"]))
    replays: dict[str, Callable[[Case, dict, bool], Outputs]] = {
        "step": _replay_step,
        "gating": _replay_gating,
        "metrics": _replay_metrics,
        "pipeline": _replay_pipeline,
    }
    return replays[settings["case"]](case, settings, jit_compile)


class GivenDraws(Draws):
    """The noise and the order of rows of a case."""

    def __init__(self, noise: Sequence[Mapping[str, np.ndarray]], perm: np.ndarray) -> None:
        """Takes the noise of each kind of task, in the order in which they ask, by the group."""
        self._noise = {name: iter([of[name] for of in noise]) for name in ("single", "cross")}
        self._perm = perm

    def dropout(self, values: tf.Tensor, rate: float, row_axis: int | None) -> tf.Tensor:
        assert rate == 0
        return values

    def gate_noise(self, name: str, like: tf.Tensor) -> tf.Tensor:
        return tf.constant(next(self._noise[name]))

    def other_rows(self, values: tf.Tensor) -> tf.Tensor:
        return tf.gather(values, self._perm)


def _config(case: Case, settings: dict) -> SyncRecConfig:
    yes = {name: settings[name] == "y" for name in ("lrb", "mip", "single_detach", "cross_detach")}
    return SyncRecConfig(
        hidden_size=settings["hidden_size"],
        layers=settings["num_hidden_layers"],
        heads=settings["num_attention_heads"],
        experts=settings["expert_num"],
        cross_expert_ratio=settings["cross_expert_ratio"],
        cross_expert_rounding="truncated",
        expert_layer=settings["expert_layer"],
        modules=settings["variant"],
        single_stop_gradient=yes["single_detach"],
        cross_stop_gradient=yes["cross_detach"],
        cross_gate_in_training=settings["cross_gate_in_training"],
        blanked_positions="attended",
        hidden_dropout=settings["dropout"],
        attention_dropout=settings["dropout"],
        loss_weighting="rebalanced" if yes["lrb"] else "cross_only",
        rebalancing_decay=float(case["param/alpha.weight"].item()),
        rebalancing_rate=float(case["param/beta.weight"].item()),
        rebalancing_temperature=settings["temperature"],
        loss_reduction="sum",
        mutual_information=yes["mip"],
        mutual_information_negatives="permuted",
        learning_rate=settings["lr"],
    )


def _model(case: Case, settings: dict) -> SyncRecModel:
    config, domains = _config(case, settings), settings["task_num"] - 1
    # The release's items are of any domain: the sizes only have to make up the table.
    sizes = [settings["item_size"] - domains, *[1] * (domains - 1)]
    names = [str(number) for number in range(domains)]
    model = SyncRecModel(config, sizes, settings["max_seq_length"], names)
    parameters = reference.without_special_types(
        {key.removeprefix("param/"): array for key, array in case.items() if "param/" in key}
    )
    for name, weight in reference.reference_weights(model).items():
        weight.assign(parameters[name])
    if model.rebalancing is not None:
        model.rebalancing.delta.assign(case["in/shapley_state"])
    optimizers = SyncRec().optimizers("train", config)
    (optimizer,) = optimizers.values()
    optimizer.beta_1, optimizer.beta_2 = settings["beta1"], settings["beta2"]
    optimizer.epsilon = settings["epsilon"]
    model.compile(optimizers)
    return model


def _domains(types: np.ndarray) -> np.ndarray:
    return np.maximum(types - _BEFORE_FIRST, 0).astype(np.int32)


def _draws(case: Case, domains: int) -> GivenDraws:
    """The draws of a step: of the single-domain tasks, then of the cross-domain one."""
    tasks = slice(domains), slice(domains, None)
    noise = [{name: case[f"in/noise_{name}"][of] for name in ("single", "cross")} for of in tasks]
    return GivenDraws(noise, case["in/perm"])


def _replay_step(case: Case, settings: dict, jit_compile: bool) -> Outputs:
    model, domains = _model(case, settings), settings["task_num"] - 1
    batch = {
        "items": case["in/item_input"].astype(np.int32),
        "domains": _domains(case["in/type_input"]),
        "next_items": case["in/item_pos"].astype(np.int32),
        "next_domains": _domains(case["in/type_pos"]),
        "negative_items": case["in/item_neg"].astype(np.int32)[..., np.newaxis],
        "user": np.zeros(len(case["in/perm"]), np.int32),
        "example_weight": np.ones(len(case["in/perm"]), np.float32),
    }
    batch = {name: tf.constant(array) for name, array in batch.items()}
    model.draws = lambda _: _draws(case, domains)
    outputs = _replay_evaluation(case, model, jit_compile)
    return outputs | _training(case, settings, model, batch, jit_compile)


def _activations(
    single: TaskOutputs | None, made: TrainingOutputs, sums: DomainLosses, is_item: np.ndarray
) -> Outputs:
    """What both kinds of task made of the batch, and the sums of their losses."""
    recorded = {"gate_cross": made.cross.gates[0], "cross_seq": made.cross.hidden[0]}
    if single is not None:
        both = single, made.cross
        recorded |= {
            "gate_single": single.gates,
            "seq_emb": np.concatenate([of.embedded for of in both]),
            "tower_in": np.concatenate([of.mixed for of in both]),
            "tower_out": np.concatenate([of.hidden for of in both]),
            "single_seq": made.single.own,
        }
    if made.mutual_information is not None:
        recorded["mip_pos_score"], recorded["mip_neg_score"] = made.mutual_information
    for name, array in recorded.items():
        if name.startswith(("tower_", "mip_")) or name.endswith("_seq"):
            present = is_item if array.ndim == 2 else is_item[..., np.newaxis]
            recorded[name] = np.where(present, array, 0)
    for name, total in (("single", sums.single), ("cross", sums.cross)):
        recorded[f"{name}_loss_sum"] = total
        recorded[f"{name}_loss_mean"] = total / np.maximum(sums.targets, 1)
    recorded["diff"] = recorded["single_loss_mean"] - recorded["cross_loss_mean"]
    return {f"out/{name}": array for name, array in recorded.items()}


def _training(
    case: Case, settings: dict, model: SyncRecModel, batch: dict, jit_compile: bool
) -> Outputs:
    """Losses, gradients and weights after the steps of the case."""
    weights = reference.reference_weights(model)
    steps = Steps(model, jit_compile, "training_outputs", "domain_losses", "network.single_tasks")
    deltas, made, first = [], [], {}
    for number in range(settings["steps"]):
        made += steps.train([batch])
        if model.rebalancing is not None:
            deltas.append(model.rebalancing.delta.numpy())
        if number:
            continue
        first = steps.losses()
        outputs_of_first = steps.result("training_outputs"), steps.result("domain_losses")
        single = steps.result("network.single_tasks")
        slopes = in_reference_layout(weights, "grad", steps.gradients())
    outputs = {
        "loss": first["loss"],
        "losses": np.array(made, np.float32),
        "mip_loss": first.get("mutual_information_loss", np.float32(0)),
    }
    if model.rebalancing is None:
        outputs["cross_loss_log_inverse"] = first["cross_loss"]
        outputs |= dict.fromkeys(("loss_single_scaled", "loss_cross_scaled"), np.float32(0))
    else:
        temperature = model.config.rebalancing_temperature
        outputs |= {
            "loss_single_scaled": first["single_loss"],
            "loss_cross_scaled": first["cross_loss"],
            "shapley_state": deltas[0],
            "rebalance_logits": deltas[0],
            "rebalance_weights": tf.nn.softmax(deltas[0] / temperature).numpy(),
            "shapley_states": np.stack(deltas),
        }
    after = in_reference_layout(weights, "after", values(model.variables))
    outputs = {f"out/{name}": array for name, array in outputs.items()}
    outputs |= _activations(single, *outputs_of_first, batch["items"].numpy() > 0)
    outputs |= _with_special_types(case, slopes, "grad", fill=0.0)
    outputs |= _with_special_types(case, after, "after", fill=None)
    # What no gradient reaches stays as it is.
    untouched = {f"after/{name}": case[f"param/{name}"] for name in _unmoved(case)}
    return {**untouched, **outputs}


def _unmoved(case: Case) -> list[str]:
    return [key.removeprefix("param/") for key in case if key.startswith("param/")]


def _with_special_types(case: Case, arrays: Outputs, prefix: str, fill: float | None) -> Outputs:
    """Puts the rows of the type table back that no domain has."""
    key = f"{prefix}/{_TYPE_TABLE}"
    whole = case[f"param/{_TYPE_TABLE}"].copy()
    if fill is not None:
        whole[:] = fill
    whole[0], whole[reference.SPECIAL_TYPES :] = arrays[key][0], arrays[key][1:]
    return {**arrays, key: whole}


def _replay_evaluation(case: Case, model: SyncRecModel, jit_compile: bool) -> Outputs:
    items = tf.constant(case["in/eval_item_input"], tf.int32)
    domains = tf.constant(_domains(case["in/eval_type_input"]))
    candidates = tf.constant(case["in/eval_candidates"], tf.int32)
    noise = {name: case[f"in/eval_noise_{name}"][np.newaxis] for name in ("single", "cross")}

    def score(items: tf.Tensor, domains: tf.Tensor) -> Outputs:
        made = {}
        for suffix, draws in (("", GivenDraws([noise], case["in/perm"])), ("_nonoise", NoDraws())):
            user = model.encode_with(items, domains, draws)
            made[f"out/eval_last_emb{suffix}"] = user
            made[f"out/eval_scores{suffix}"] = model.score_candidates(user, candidates)
        return made

    outputs = {
        name: tensor.numpy()
        for name, tensor in compiled_or_plain(score, jit_compile)(items, domains).items()
    }
    ranks = _ranks(outputs["out/eval_scores"])
    outputs |= {f"out/eval_{name}": value for name, value in _metrics(ranks, (1, 5, 10)).items()}
    return outputs | {"out/eval_rank": ranks - 1}


def _ranks(scores: np.ndarray) -> np.ndarray:
    return metrics.pessimistic_ranks(scores[:, 0], tf.constant(scores[:, 1:])).numpy().astype(int)


def _metrics(ranks: np.ndarray, ks: tuple[int, ...]) -> Outputs:
    table = {
        f"{theirs}@{k}": metrics.PER_RANK[ours](ranks, k).mean()
        for theirs, ours in (("HIT", "HR"), ("NDCG", "NDCG"))
        for k in ks
    }
    return {**table, "MRR": metrics.reciprocal_rank(ranks).mean()}


def _replay_gating(case: Case, settings: dict, jit_compile: bool) -> Outputs:
    cross = int(settings["expert_num"] * settings["cross_expert_ratio"])
    single = settings["expert_num"] - cross
    inputs = tf.constant(case["in/x"][np.newaxis])
    partitioned, plain = PartitionedGates(1, single, cross), PlainGates(1, single, cross)
    for gates in (partitioned, plain):
        gates(inputs, NoDraws(), single_share=0.5)
        for name, weight in reference._gate("gate", gates, 0).items():
            weight.assign(case[f"param/{name.removeprefix('gate.')}"])
    ratio, outputs = settings["cross_expert_ratio"], {}
    for name, gates, share in (
        ("single", partitioned, ratio),
        ("cross", partitioned, 1 - ratio),
        ("basic", plain, ratio),
    ):
        noise = {group: case[f"in/noise_{group}"][np.newaxis] for group in ("single", "cross")}
        draws = GivenDraws([noise], np.zeros(0, int))
        call = compiled_or_plain(gates.__call__, jit_compile)
        outputs[f"out/gate_{name}"] = call(inputs, draws, single_share=share)[0].numpy()
    return outputs


def _replay_metrics(case: Case, settings: dict, jit_compile: bool) -> Outputs:
    del jit_compile
    ranks, ks = _ranks(case["in/scores"]), tuple(settings["ks"])
    outputs = {"out/rank": ranks - 1}
    for group in ("all", *settings["domains"]):
        chosen = np.ones(len(ranks), bool) if group == "all" else case["in/answer_type"] == group
        of_group = _metrics(ranks[chosen], ks)
        outputs |= {f"out/{group}/{name}": value for name, value in of_group.items()}
    return outputs


def _replay_pipeline(case: Case, settings: dict, jit_compile: bool) -> Outputs:
    """The release's windows, from its sequences through the view `multi_domain_sequence`."""
    del jit_compile
    people = len(settings["lengths"])
    rows = [
        (str(user), str(item), str(kind), time)
        for user in range(people)
        for time, (item, kind) in enumerate(
            zip(case[f"in/items_{user}"], case[f"in/types_{user}"], strict=True)
        )
    ]
    table = pd.DataFrame(rows, columns=["user_id", "item_id", "domain", "timestamp"])
    log = InteractionLog(table, tuple(sorted(set(table["domain"]))), comparable_times=True)
    whole = splits.split(log, SplitOptions(kind="last_of_all", repeats="all"))
    outputs = {}
    with tempfile.TemporaryDirectory() as folder:
        build.build(whole, f"{folder}/data")
        (roles,) = roles_of(log.domains, ["all"], [], shared=False, joint=True)
        options = ExampleOptions(max_length=settings["max_seq_length"])
        data = InteractionSource(open_prepared(f"{folder}/data"), roles, options)
        for name, part in (("train", "train"), ("valid", "validation"), ("test", "test")):
            windows = _windows(data, part, people)
            outputs |= {f"out/{name}/{column}": array for column, array in windows.items()}
    return outputs


def _windows(data: InteractionSource, part: str, people: int) -> Outputs:
    """Reads a part in the release's columns: zeros for who has no example in it."""
    tokens = ["0:0", *data.vocabulary("joint").tokens]
    kinds, items = np.array([token.split(":") for token in tokens], np.int64).T
    found = {
        name: np.zeros((people, data.max_length), np.int64)
        for name in ("item_input", "item_pos", "type_input", "type_pos")
    }
    found["item_answer"] = np.zeros((people, 1), np.int64)
    batches = data.batches("multi_domain_sequence", part, batch_size=people, seed=0)
    for batch in batches.as_numpy_iterator():
        for place, user in enumerate(batch["user"]):
            if not batch["example_weight"][place]:
                continue
            row = int(data.user_names([user])[0])
            own = batch["items"][place]
            if part == "train":
                following = batch["next_items"][place]
            else:
                answer = batch["target_item"][place]
                found["item_answer"][row] = items[answer]
                following = np.where(own > 0, np.append(own[1:], answer), 0)
            for name, ids in (("input", own), ("pos", following)):
                found[f"item_{name}"][row], found[f"type_{name}"][row] = items[ids], kinds[ids]
    return found
