import pytest

from data_pipelines.errors import DataError
from data_pipelines.views.example_options import ExampleOptions
from data_pipelines.views.roles import roles_of
from tests.data_pipelines.small_logs import DOMAINS


def named(targets, sources=(), shared=True):
    return [(role.target, role.sources) for role in roles_of(DOMAINS, targets, sources, shared)]


def test_roles_are_given_by_name():
    assert named(["films"]) == [("films", ("books", "toys"))]
    # Targets in the order in which they are named, sources in that of the data set.
    assert named(["toys", "books"]) == [("toys", ("films",)), ("books", ("films",))]
    assert named(["books"], ["toys", "films"]) == [("books", ("films", "toys"))]
    assert named(["books"], ["toys"]) == [("books", ("toys",))]
    assert named(["all"]) == [(name, ()) for name in DOMAINS]
    assert named([]) == [("", DOMAINS)]
    assert named([], ["toys"]) == [("", ("toys",))]
    first, second = roles_of(DOMAINS, ["toys", "books"], [], shared=True)
    assert first.targets == second.targets == ("toys", "books")
    assert second.numbers(["toys", "books"]) == (2, 0)


def test_targets_that_share_nothing_are_sources_of_each_other():
    assert named(["all"], shared=False) == [
        ("books", ("films", "toys")),
        ("films", ("books", "toys")),
        ("toys", ("books", "films")),
    ]
    first, second = roles_of(DOMAINS, ["toys", "books"], ["films"], shared=False)
    assert (first.sources, first.targets) == (("films",), ("toys",))
    assert (second.sources, second.targets) == (("films",), ("books",))


@pytest.mark.parametrize(
    ("targets", "sources", "message"),
    [
        (["games"], [], "--target=games: the data set has no such domain; it has books, films"),
        (["all", "toys"], [], "--target=all: the data set has no such domain"),
        (["toys"], ["all"], "--sources=all: the data set has no such domain"),
        (["toys", "toys"], [], "--target=toys,toys: name each domain once"),
        (["toys"], ["books", "books"], "--sources=books,books: name each domain once"),
        (["toys", "books"], ["films", "books"], "--sources=films,books: books is a target"),
        (["all"], ["books"], "--sources=books: books is a target"),
    ],
)
def test_roles_that_contradict_each_other_are_refused(targets, sources, message):
    with pytest.raises(DataError) as error:
        roles_of(DOMAINS, targets, sources, shared=True)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "options",
    [
        {"max_length": 1},
        {"min_history": -1},
        {"source_history": "some"},
        {"cold_share": 1.0},
        {"source_test_share": -0.1},
        {"source_validation_share": 0.6, "source_test_share": 0.4},
    ],
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(DataError, match=next(iter(options))):
        ExampleOptions(**options)
