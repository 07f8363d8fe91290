import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipelines.coding.vocabulary import Vocabulary, ranked
from data_pipelines.errors import DataError


def test_ids_follow_falling_counts_then_tokens():
    vocabulary, ids = ranked(["d", "a", "c", "b"], np.array([2, 0, 5, 2]))
    assert vocabulary.tokens == ("c", "b", "d", "a")
    assert vocabulary.counts.tolist() == [5, 2, 2, 0]
    assert ids.tolist() == [3, 4, 1, 2]


def test_reserved_ids_follow_the_items():
    vocabulary = Vocabulary(("x", "y"), np.array([1, 1]))
    assert (vocabulary.size, vocabulary.cls_id, vocabulary.mask_id, vocabulary.rows) == (2, 3, 4, 5)


# What a validated log's ids may hold: anything but line ends, tabs and blanks at the ends. Line
# separators other than the line feed (\x0b, \u2028) must survive.
TOKENS = st.text(st.characters(exclude_characters="\t\r\n", exclude_categories=["Cs"]), min_size=1)


@settings(max_examples=40)
@given(st.lists(TOKENS, unique=True, max_size=20))
def test_saved_vocabulary_comes_back(tmp_path_factory, tokens):
    directory = tmp_path_factory.mktemp("vocabulary")
    vocabulary, _ = ranked(tokens, np.arange(len(tokens)) % 3)
    vocabulary.save(directory, "source")
    loaded = Vocabulary.load(directory, "source")
    assert loaded.tokens == vocabulary.tokens
    np.testing.assert_array_equal(loaded.counts, vocabulary.counts)


def test_line_number_is_id(tmp_path):
    ranked(["b", "a"], np.array([1, 7]))[0].save(tmp_path, "target")
    assert (tmp_path / "target.txt").read_text() == "a\nb\n"
    assert (tmp_path / "target.counts.txt").read_text() == "7\n1\n"


def test_missing_and_damaged_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"source\.txt: the file is missing"):
        Vocabulary.load(tmp_path, "source")
    ranked(["b", "a"], np.array([1, 7]))[0].save(tmp_path, "source")
    for counts in ("7\n", "7\nmany\n"):
        (tmp_path / "source.counts.txt").write_text(counts)
        with pytest.raises(DataError, match=r"source\.counts\.txt"):
            Vocabulary.load(tmp_path, "source")
