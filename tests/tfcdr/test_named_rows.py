"""Models that start from those of another log: all systems, by the names of what rows are."""

import types

import numpy as np
import pytest
import tensorflow as tf

from tests.tfcdr.systems.daa.small import config as daa_config
from tests.tfcdr.systems.syncrec.small_models import config_of as syncrec_config
from tfcdr.errors import RunError
from tfcdr.named_rows import NO_ITEM, NamedRows, start_from
from tfcdr.systems.biao.config import BiaoConfig
from tfcdr.systems.neighbours.config import NeighboursConfig
from tfcdr.systems.peterrec.config import PeterRecConfig
from tfcdr.systems.registry import SYSTEMS
from tfcdr.systems.timirec.config import TiMiRecConfig

MONDAY = {"shop": ["s1", "s2", "s3"], "books": ["b1", "b2"], "films": ["f1", "f2", "f3"]}
# Counts have changed the order; s1 is gone, others are new, and so is a whole domain.
TUESDAY = {
    "shop": ["s3", "s4", "s2"],
    "books": ["b2", "b0", "b1", "b3"],
    "films": ["f1", "f3", "f2"],
    "games": ["g1"],
}


class Vocabulary:
    """The items of some domains, those of even number in category "even"."""

    def __init__(self, items):
        self.domain_sizes = {domain: len(of) for domain, of in items.items()}
        several = len(items) > 1
        self.tokens = [
            f"{domain}:{item}" if several else item for domain, of in items.items() for item in of
        ]
        self.size = len(self.tokens)
        self.rows = self.size + 3
        self.counts = np.ones(self.size, np.int64)
        # A category for each last letter of an item, as a log has others tomorrow.
        named = {token[: -len(token.rpartition(":")[2])] + token[-1] for token in self.tokens}
        self.categories = sorted(named)


class Log:
    """What systems need of a data set to build their models."""

    max_length = 4
    numerical_columns = ("price",)
    labels = ("click", "conversion")
    categorical_columns = ("city", "hour")

    def __init__(self, items, users, cities):
        shop = {"shop": items["shop"]}
        others = {domain: of for domain, of in items.items() if domain != "shop"}
        spaces = {"target": shop, "source": others, "joint": shop | others}
        self._vocabularies = {space: Vocabulary(of) for space, of in spaces.items()}
        self._users = users
        self.num_users = len(users)
        self.field_values = (cities, ("1", "2"))
        self.field_sizes = tuple(1 + len(values) for values in self.field_values)

    def vocabulary(self, space):
        return self._vocabularies[space]

    def user_names(self, users):
        return [self._users[user - 1] for user in users]


def monday():
    return Log(MONDAY, ["ann", "bob"], ("Rome", "Oslo"))


def tuesday():
    return Log(TUESDAY, ["bob", "cleo", "ann"], ("Oslo", "Bonn", "Rome"))


CASES = {
    "peterrec": PeterRecConfig(channels=4, dilations=(1,), sampled_share=0.5),
    "peterrec masked": PeterRecConfig(channels=4, dilations=(1,), causal=False),
    "timirec": TiMiRecConfig(embedding_size=4, interests=2),
    "biao": BiaoConfig(embedding_size=4, hidden_widths=(4,)),
    "biao minet": BiaoConfig(embedding_size=4, hidden_widths=(4,), backbone="minet"),
    "daa": daa_config(),
    "syncrec": syncrec_config(),
    "syncrec released": syncrec_config(modules="released"),
    "syncrec single_domain": syncrec_config(training="single_domain"),
}
STAGES = [
    (case, stage.name)
    for case, config in CASES.items()
    for stage in SYSTEMS[case.split()[0]].stages(config)
]


def model_and_rows(case, stage, data):
    system, config = SYSTEMS[case.split()[0]], CASES[case]
    model = system.build(stage, config, data, 0)
    random = np.random.default_rng(model.variables[0].shape[0])
    for variable in model.variables:
        variable.assign(random.normal(size=variable.shape))
    return model, system.named_rows(config, model, data)


@pytest.mark.parametrize(("case", "stage"), STAGES)
def test_what_has_a_name_keeps_its_row_and_all_else_its_value(case, stage):
    model, rows = model_and_rows(case, stage, tuesday())
    previous, previous_rows = model_and_rows(case, stage, monday())
    for variable, names in [*rows, *previous_rows]:
        assert len(set(names)) == len(names) == variable.shape[0], variable.name
    fresh = [variable.numpy() for variable in model.variables]
    start_from(model, rows, previous, previous_rows)
    by_name = {
        variable.ref(): dict(zip(names, variable.numpy(), strict=True))
        for variable, names in previous_rows
    }
    names_of = {variable.ref(): names for variable, names in rows}
    moved = 0
    for variable, old, start in zip(model.variables, previous.variables, fresh, strict=True):
        if variable.ref() not in names_of:
            np.testing.assert_array_equal(variable, old)
            continue
        known = by_name[old.ref()]
        for name, row, own in zip(names_of[variable.ref()], variable.numpy(), start, strict=True):
            np.testing.assert_array_equal(row, known.get(name, own))
            moved += name in known
    assert moved


def test_every_system_is_tried():
    tried = {case.split()[0] for case in CASES}
    assert tried | {"neighbours"} == set(SYSTEMS)


def test_a_model_that_is_fitted_starts_from_none():
    system = SYSTEMS["neighbours"]
    with pytest.raises(RunError, match="neighbours starts from no run on other data"):
        system.named_rows(NeighboursConfig(), None, monday())


def model_of(rows, width=2, bias=True):
    variables = [tf.Variable(tf.random.normal((rows, width)), name="table")]
    if bias:
        variables.append(tf.Variable(tf.ones((3,)), name="bias"))
    return types.SimpleNamespace(variables=variables)


def test_counts_names_once_and_not_padding():
    model, previous = model_of(4), model_of(3)
    names, old = [NO_ITEM, "a:new", "a:1", "a:2"], [NO_ITEM, "a:2", "a:gone"]
    rows = [NamedRows(model.variables[0], names)]
    overlap = start_from(model, rows, previous, [NamedRows(previous.variables[0], old)])
    assert overlap == (1, 2, 1)


@pytest.mark.parametrize(
    ("previous", "named", "message"),
    [
        (
            model_of(3, width=5),
            True,
            r"variable table:0 has the shape \[3, 5\], this run's \[4, 2\]",
        ),
        (model_of(3, bias=False), True, "has 1 variables, this run's 2: it is of another config"),
        (model_of(4), False, r"variable table:0 has the shape \[4, 2\]"),
    ],
)
def test_another_architecture_is_refused(previous, named, message):
    model = model_of(4)
    rows = [NamedRows(model.variables[0], list("abcd"))]
    old = [NamedRows(previous.variables[0], list("abc"))] if named else []
    before = [variable.numpy() for variable in model.variables]
    with pytest.raises(RunError, match=message):
        start_from(model, rows, previous, old)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
