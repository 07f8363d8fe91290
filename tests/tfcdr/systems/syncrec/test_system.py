"""SyNCRec as a system: its stage, what it reads, its groups of test rows, its benchmark."""

import dataclasses

import pytest

from tests.tfcdr.systems.syncrec.small_models import LENGTH, NAMES, SIZES, config_of
from tfcdr.benchmark import DomainSequenceSizes
from tfcdr.row_groups import COLD_AND_WARM
from tfcdr.systems.registry import SYSTEMS
from tfcdr.systems.syncrec.config import SyncRecConfig
from tfcdr.systems.syncrec.model import SyncRecModel
from tfcdr.systems.syncrec.single_domain import SingleDomainModel
from tfcdr.systems.syncrec.system import SyncRec


class Vocabulary:
    def __init__(self, names=NAMES):
        self.domain_sizes = dict(zip(names, SIZES, strict=True))
        self.size = sum(SIZES)


class Data:
    max_length = LENGTH

    def __init__(self, names=NAMES):
        self._vocabulary = Vocabulary(names)

    def vocabulary(self, space):
        return self._vocabulary


def test_is_registered_under_its_name():
    assert isinstance(SYSTEMS["syncrec"], SyncRec)
    assert SYSTEMS["syncrec"].config_class is SyncRecConfig
    assert SYSTEMS["syncrec"].joint_targets
    assert not SYSTEMS["timirec"].joint_targets


@pytest.mark.parametrize(
    ("training", "sequences", "kind"),
    [("joint", "joint", SyncRecModel), ("single_domain", "by_domain", SingleDomainModel)],
)
def test_both_trainings_read_and_build_what_is_theirs(training, sequences, kind):
    config = config_of(training=training, negatives=3, candidate_domains="all")
    (stage,) = SyncRec().stages(config)
    assert stage.training.options == {
        "sequences": sequences,
        "negatives": 3,
        "negative_domains": "own",
    }
    assert stage.evaluation.options == {"sequences": sequences, "candidate_domains": "all"}
    model = SyncRec().build("train", config, Data(), seed=0)
    assert type(model) is kind
    assert (model.num_items, model.domain_sizes) == (sum(SIZES), SIZES)


def test_without_transfer_nothing_else_changes():
    config = config_of()
    baseline = SyncRec().without_transfer(config)
    assert baseline == dataclasses.replace(config, training="single_domain")


def test_test_rows_are_grouped_by_domain_whatever_its_name():
    cold, domains = SyncRec().row_groups(Data())
    assert cold == COLD_AND_WARM
    assert domains.column == "target_domain"
    assert domains.names == {"books": 1, "films": 2, "toys": 3}
    _, domains = SyncRec().row_groups(Data(("all", "cold", "toys")))
    assert domains.names == {"domain all": 1, "domain cold": 2, "toys": 3}


def test_the_peer_is_told_the_sizes():
    (peer,) = SyncRec.benchmark.peers
    config = config_of(batch_size=16)
    (stage,) = SyncRec().stages(config)
    told = peer.invoke(stage, config, DomainSequenceSizes(3, 100, 6), {}).settings
    assert told == {
        "config": dataclasses.asdict(config),
        "cross_experts": 2,
        "domains": 3,
        "items": 100,
        "length": 6,
        "batch_size": 16,
    }
    assert peer.does_work_of("train", config)
    for field, value in (("modules", "released"), ("negatives", 2), ("expert_layer", "ffn")):
        assert not peer.does_work_of("train", dataclasses.replace(config, **{field: value}))
