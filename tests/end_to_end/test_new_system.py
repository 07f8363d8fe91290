"""A system from a package of its own: it trains, is evaluated and exported, and touches no file."""

import json

import pytest
import tensorflow as tf

from tests.end_to_end import launching

# Everything that a system brings: a configuration, a model, a system.
TOY = '''
"""Ranks by the mean vector of a history."""

import dataclasses

import tensorflow as tf

from tfcdr import losses, optimizers
from tfcdr.data_source import ViewRequest
from tfcdr.ranking.model import RankingModel, RankingQuery
from tfcdr.ranking.stage import RankingStage
from tfcdr.ranking.system import RankingSystem
from tfcdr.stage_model import MODEL_OPTIMIZER, StageModel, StepReport


@dataclasses.dataclass(frozen=True)
class ToyConfig:
    """Settings.

    Attributes:
      size: width of a vector.
      epochs: passes over the examples.
    """

    size: int = 8
    epochs: int = 2


class ToyModel(StageModel, RankingModel):
    def __init__(self, config, rows, num_items):
        super().__init__(name="toy")
        self.num_items = num_items
        self.table = self.add_weight("table", (rows, config.size), initializer="normal")
        self.built = True

    @property
    def batch_spec(self):
        items = tf.TensorSpec([None, None], tf.int32)
        one = tf.TensorSpec([None], tf.int32)
        return {"history": items, "negative_items": items, "target_item": one}

    def encode_history(self, history):
        weights = tf.cast(history > 0, tf.float32)[..., tf.newaxis]
        total = tf.reduce_sum(weights * tf.gather(self.table, history), 1)
        return tf.math.divide_no_nan(total, tf.reduce_sum(weights, 1))

    def item_factors(self):
        return self.table, None

    def query(self, batch):
        user = self.encode_history(batch["history"])
        excluded, candidates = batch["seen_items"], batch.get("candidates")
        return RankingQuery(user, batch["target_item"], excluded, candidates)

    def compute_losses(self, batch):
        user = self.encode_history(batch["history"])
        positive = self.score_candidates(user, batch["target_item"][:, tf.newaxis])[:, 0]
        negative = self.score_candidates(user, batch["negative_items"])
        each = losses.bayesian_personalized_ranking(positive, negative)
        loss = losses.weighted_mean(each, batch["example_weight"])
        return StepReport({"loss": loss}, {"table_norm": tf.norm(self.table)})


class Toy(RankingSystem):
    name = "toy"
    config_class = ToyConfig

    def stages(self, config):
        histories = {"history_domains": "all"}
        stage = RankingStage(
            name="fit",
            training=ViewRequest("leave_one_out", {**histories, "negatives": 4}),
            evaluation=ViewRequest("leave_one_out", histories),
            batch_size=32,
            epochs=config.epochs,
            patience=config.epochs,
            catalogue="target",
            has_candidates=True,
        )
        return (stage,)

    def build(self, stage, config, data, seed):
        rows = data.vocabulary("joint").size + 1
        return ToyModel(config, rows, data.vocabulary("target").size)

    def optimizers(self, stage, config):
        return {MODEL_OPTIMIZER: optimizers.adam(0.05)}

    def history_space(self, config):
        return "joint"

    def without_transfer(self, config):
        return config
'''
# The registry's one line, then a launcher as it is.
RUN = """
import sys
sys.path.insert(0, {package!r})
from toy_package.system import Toy
from tfcdr.systems.registry import SYSTEMS
SYSTEMS["toy"] = Toy()
from launchers import {launcher}
{launcher}.run()
"""


@pytest.mark.slow
def test_a_toy_system_runs_through_every_launcher(small_data, tmp_path):
    package = tmp_path / "toy_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "system.py").write_text(TOY)
    workdir = tmp_path / "run"

    def run(launcher, *flags):
        code = RUN.format(package=str(tmp_path), launcher=launcher)
        process = launching.start(launcher, *flags, f"--workdir={workdir}", code=code)
        outcome = launching.finish(process)
        assert outcome.status == 0, outcome.err
        return outcome.out

    flags = ("--system=toy", "--toy.size=6", "--evaluation.negatives=20", "--report")
    flags += launching.SMALL_READING
    trained = run("train", *flags, f"--data_dir={small_data}")
    assert "fit epoch 2/2: NDCG@10" in trained
    metrics = json.loads((workdir / "metrics.json").read_text())
    assert 0 < metrics["test"]["NDCG@10"] <= 1
    assert json.loads((workdir / "config.json").read_text())["config"] == {"size": 6, "epochs": 2}
    last = json.loads((workdir / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["figures"]["table_norm"] > 0
    assert (workdir / "report" / "figures.png").exists()
    # The tables of evaluate.py are those of train.py.
    evaluated = run("evaluate")
    assert evaluated.strip() in trained
    assert "signatures serving_default and recommend" in run("export")
    recommend = tf.saved_model.load(str(workdir / "export" / "1")).signatures["recommend"]
    nothing = tf.constant([[""]])
    items = recommend(history=nothing, seen_items=nothing)["items"].numpy()[0]
    assert len(set(items)) == 10
