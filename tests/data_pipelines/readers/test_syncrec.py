"""SyNCRec's released files, small ones in their format, and ones that are wrong."""

import pytest

from data_pipelines import readers
from data_pipelines.errors import DataError
from data_pipelines.readers.syncrec import SyncRecOptions

HEADER = "\tuser_id\titem\ttype\tunix_time\tlist_len\n"
ROWS = "0\tann\t007,B2,007\tBooks,Toys,Books\t10,20,20\t3\n1\tbob\tB2\tToys\t5\t1\n"


@pytest.fixture
def files(tmp_path):
    def write(sequences=HEADER + ROWS, items="\titem\tcnt\n0\t007\t2\n", types=""):
        paths = {"seq.txt": sequences, "items.txt": items, "types.txt": types}
        for name, text in paths.items():
            (tmp_path / name).write_text(text)
        return tmp_path

    return write


def table(log):
    columns = ["user_id", "item_id", "domain", "timestamp"]
    return list(log.interactions[columns].itertuples(index=False, name=None))


def test_lists_become_interactions_in_their_order(files):
    log = readers.read("syncrec", [f"{files()}/seq.txt"])
    assert table(log) == [
        ("ann", "007", "Books", 10),
        ("ann", "B2", "Toys", 20),
        ("ann", "007", "Books", 20),
        ("bob", "B2", "Toys", 5),
    ]
    assert log.domains == ("Books", "Toys")
    assert log.comparable_times


def test_vocabularies_say_what_is_known_and_in_which_order(files):
    folder = files(types="\ttype\tcnt\n0\tToys\t2\n1\tBooks\t2\n")
    inputs = [f"{folder}/seq.txt", f"items={folder}/items.txt", f"types={folder}/types.txt"]
    log = readers.read("syncrec", inputs)
    assert log.domains == ("Toys", "Books")
    assert [row[1] for row in table(log)] == ["007", "007"]
    assert log.left_out == {"items outside the vocabulary": 2}
    chosen = readers.read("syncrec", inputs[:1], SyncRecOptions(domains=("Toys",)))
    assert [row[2] for row in table(chosen)] == ["Toys", "Toys"]


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        (HEADER.replace("type", "kind") + ROWS, "seq.txt, line 1: no column type"),
        (HEADER + "0\tann\ta,b\tBooks\t1,2\t2\n", "seq.txt, line 2: list_len is '2', but"),
        (HEADER + "0\tann\ta\tBooks\t1\n", "seq.txt, line 2: 5 fields, expected 6"),
        (HEADER + "0\tann\ta\tBooks\tnoon\t1\n", "seq.txt, line 2: timestamp"),
        (HEADER + "0\t\ta\tBooks\t1\t1\n", "seq.txt, line 2: user_id"),
    ],
)
def test_bad_lines_are_named_and_may_be_skipped(files, sequences, message):
    folder = files(sequences + "9\tcat\tz\tBooks\t1\t1\n")
    with pytest.raises(DataError) as error:
        readers.read("syncrec", [f"{folder}/seq.txt"])
    assert message in str(error.value)
    if "no column" not in message:
        options = SyncRecOptions(max_bad_lines=1)
        log = readers.read("syncrec", [f"{folder}/seq.txt"], options)
        assert log.skipped_lines == 1
        assert table(log) == [("cat", "z", "Books", 1)]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (["words={}/items.txt", "{}/seq.txt"], "vocabularies as items=PATH and types=PATH"),
        (["{}/none.txt"], "none.txt: no such file"),
        (["{}/seq.txt@train"], "takes no @PART"),
        (["{}/seq.txt", "types={}/items.txt"], "items.txt, line 1: no column type"),
        ([], "--input is missing"),
    ],
)
def test_wrong_inputs_are_refused(files, inputs, message):
    folder = files()
    with pytest.raises(DataError) as error:
        readers.read("syncrec", [text.format(folder) for text in inputs])
    assert message in str(error.value)


def test_the_released_sample_has_the_counts_of_its_page(real_data):
    folder = real_data("amazon_five_domains")
    inputs = [f"{folder}/amazon_seq.txt", f"items={folder}/voca_item.txt"]
    log = readers.read("syncrec", inputs)
    assert len(log.interactions) == 16_123 and not log.left_out
    assert log.interactions["user_id"].nunique() == 500
    assert log.interactions.groupby("domain", observed=True).size()["Video_Games"] == 1_444
