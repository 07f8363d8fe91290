"""What a history may call an item, and what names nothing."""

from typing import NamedTuple

import numpy as np

from tfcdr.ranking.history_names import names_in


class Items(NamedTuple):
    """All items of a run."""

    domain_sizes: dict
    tokens: tuple


def found(run, first, count):
    names, ids = names_in(run, range(first + 1, first + count + 1))
    assert len(set(names)) == len(names) == len(ids)
    return dict(zip(names, np.asarray(ids).tolist(), strict=True))


def test_an_item_has_a_whole_name_and_its_bare_id_if_that_is_clear():
    run = Items({"toys": 3, "books": 2}, ("toys:a", "toys:b", "toys:c:d", "books:b", "books:e"))
    everything = found(run, 0, 5)
    whole = {name: place for place, name in enumerate(run.tokens, 1)}
    assert everything == {**whole, "a": 1, "c:d": 3, "e": 5}
    # Whoever reads the books alone is asked in the same words; "b" remains unclear.
    assert found(run, 3, 2) == {"books:b": 1, "books:e": 2, "e": 2}


def test_a_bare_id_that_is_spelt_like_a_whole_name_is_not_that_item():
    run = Items({"toys": 2, "books": 1}, ("toys:a", "toys:books:a", "books:a"))
    assert found(run, 0, 3) == {"toys:a": 1, "toys:books:a": 2, "books:a": 3}


def test_the_items_of_a_single_domain_are_all_clear():
    run = Items({"toys": 2}, ("a", "toys:a"))
    assert found(run, 0, 2) == {"toys:a": 1, "toys:toys:a": 2, "a": 1}
