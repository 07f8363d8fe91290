"""Reader `amazon`: small files in the exact format of each edition, and files that are wrong."""

import gzip
import json
import pathlib
import tempfile

import hypothesis
import hypothesis.strategies as st
import pytest

from data_pipelines import readers
from data_pipelines.errors import DataError
from data_pipelines.prepared import build
from data_pipelines.readers import downloads
from data_pipelines.readers.amazon import AmazonOptions
from data_pipelines.readers.amazon_files import Reviews
from data_pipelines.splitting import splits
from data_pipelines.splitting.split_log import SplitOptions

NAMES = ("user_id", "item_id", "rating", "timestamp")


def review_2014(user, item, rating, time):
    review = {
        "reviewerID": user,
        "asin": item,
        "reviewerName": 'J. "Jo" O\'Neil',
        "helpful": [2, 3],
        "reviewText": "It\u2019s \"good\",\n\t{'asin': 'no'}",
        "overall": rating,
        "summary": "Fine",
        "unixReviewTime": time,
        "reviewTime": "09 13, 2009",
    }
    return json.dumps(review)


def item_2014(item, path):
    """As Python prints it; a second path, which does not count."""
    related = {"also_bought": ["B00JHONN1S", "B002BZX8Z6"], "bought_together": ["B002BZX8Z6"]}
    item = {
        "asin": item,
        "title": 'Girls\' "Ballet" Tutu',
        "price": 3.17,
        "imUrl": "http://ecx.images-amazon.com/images/I/51fAmVkTbyL._SY300_.jpg",
        "related": related,
        "salesRank": {"Toys & Games": 211836},
        "brand": "Coxlures",
        "categories": [path, ["Sports & Outdoors", "Other Sports", "Dance"]],
    }
    return repr(item)


def review_2018(user, item, rating, time):
    review = {
        "overall": rating,
        "vote": "3",
        "verified": True,
        "reviewTime": "01 1, 2018",
        "reviewerID": user,
        "asin": item,
        "style": {"Size:": " Large"},
        "reviewerName": "Jo",
        "reviewText": "Fine",
        "summary": "Fine",
        "unixReviewTime": time,
    }
    return json.dumps(review)


def item_2018(item, path):
    item = {
        "category": path,
        "tech1": "",
        "description": ["<b>It's</b> fine"],
        "title": "Tutu",
        "also_buy": ["B00JHONN1S"],
        "brand": "Coxlures",
        "rank": ["&gt;#22,221 in Toys & Games ("],
        "details": {"ASIN:": "B0"},
        "main_cat": "Toys & Games",
        "price": "$3.17",
        "asin": item,
    }
    return json.dumps(item)


def review_2023(user, item, rating, time):
    """Of a variant; the item is its parent."""
    review = {
        "rating": rating,
        "title": "Fine",
        "text": "Fine<br />",
        "images": [],
        "asin": f"variant of {item}",
        "parent_asin": item,
        "user_id": user,
        "timestamp": 1000 * time + 923,
        "helpful_vote": 0,
        "verified_purchase": True,
    }
    return json.dumps(review)


def item_2023(item, path):
    item = {
        "main_category": "Toys & Games",
        "title": "Tutu",
        "average_rating": 4.8,
        "rating_number": 10,
        "features": [],
        "description": [],
        "price": None,
        "images": [{"thumb": "https://m.media-amazon.com/1.jpg", "variant": "MAIN"}],
        "videos": [],
        "store": "Coxlures",
        "categories": path,
        "details": {"Color": "Pink"},
        "parent_asin": item,
        "bought_together": None,
    }
    return json.dumps(item)


class Edition:
    """How a domain's files are written."""

    def __init__(self, reviews, metadata, review, item):
        self.reviews, self.metadata, self.review, self.item = reviews, metadata, review, item

    def write(self, folder, name, rows, items=None):
        """Writes the files of a category; gives the reviews' path."""
        path = folder / self.reviews.format(name)
        write(path, [self.review(*row) for row in rows])
        if items is not None:
            write(folder / self.metadata.format(name), [self.item(*row) for row in items])
        return path


def write(path, lines):
    text = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(text, 1) if path.suffix == ".gz" else text)
    return path


EDITIONS = {
    "2014": Edition("reviews_{}_5.json.gz", "meta_{}.json.gz", review_2014, item_2014),
    "2014 whole": Edition("reviews_{}.json", "meta_{}.json.gz", review_2014, item_2014),
    "2018": Edition("{}_5.json.gz", "meta_{}.json.gz", review_2018, item_2018),
    "2018 whole": Edition("{}.json.gz", "meta_{}.json", review_2018, item_2018),
    "2023": Edition("{}.jsonl.gz", "meta_{}.jsonl.gz", review_2023, item_2023),
    "2023 unpacked": Edition("{}.jsonl", "meta_{}.jsonl", review_2023, item_2023),
}
ROWS = [
    ("A1", "B3", 5.0, 1400000000),
    ("A2", "B1", 1.0, 1300000000),
    ("A1", "B3", 4.0, 1400000000),
    ("A1", "B2", 3.0, 1500000000),
]
ITEMS = [
    ("B9", ["Toys & Games", "Of none of the reviews"]),
    ("B2", ["Toys & Games"]),
    ("B3", ["Toys & Games", "Dolls", "Clothes"]),
    ("B1", ["Toys & Games", "Games"]),
]
every_edition = pytest.mark.parametrize("edition", EDITIONS.values(), ids=EDITIONS)
OLD = EDITIONS["2014"]


def read(inputs, **options):
    return readers.read("amazon", inputs, AmazonOptions(**options))


def table(log, *names):
    return list(log.interactions[list(names)].itertuples(index=False, name=None))


def error(inputs, **options):
    with pytest.raises(DataError) as caught:
        read(inputs, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@every_edition
def test_every_edition_gives_the_same_log(tmp_path, edition):
    path = edition.write(tmp_path, "Toys_and_Games", ROWS, ITEMS)
    log = read([f"Toys={path}"])
    assert table(log, *NAMES) == ROWS
    categories = {"B1": "Games", "B2": "others", "B3": "Dolls"}
    assert table(log, "item_id", "category") == [(row[1], categories[row[1]]) for row in ROWS]
    assert (log.domains, log.comparable_times) == (("Toys",), True)
    assert (log.skipped_lines, dict(log.left_out)) == (0, {})
    metadata = tmp_path / edition.metadata.format("Toys_and_Games")
    assert log.notes == (f"Toys: items with metadata in {metadata}: 3",)


def test_domains_may_be_of_several_editions_and_files(tmp_path):
    later = [("A3", "B4", 2.0, 1600000000), ("A3", "B1", 2.0, 1600000000)]
    inputs = [
        f"Toys={OLD.write(tmp_path, 'Toys', ROWS[:2], ITEMS)}",
        f"Books={EDITIONS['2023'].write(tmp_path, 'Books', ROWS, ITEMS)}",
        f"Toys={EDITIONS['2018'].write(tmp_path, 'Games', later, [('B4', ['T', 'New'])])}",
    ]
    log = read(inputs, domains=("Books", "Toys"))
    assert log.domains == ("Books", "Toys")
    assert table(log, *NAMES) == ROWS + ROWS[:2] + later
    # The metadata of a domain count as one: B1 stands in those of Toys.
    of_toys = table(log, "domain", "item_id", "category")[4:]
    assert of_toys == [
        ("Toys", "B3", "Dolls"),
        ("Toys", "B1", "Games"),
        ("Toys", "B4", "New"),
        ("Toys", "B1", "Games"),
    ]


@pytest.mark.parametrize(
    ("depth", "categories"),
    [
        (1, {"B1": "Toys & Games", "B2": "Toys & Games", "B3": "Toys & Games"}),
        (3, {"B1": "others", "B2": "others", "B3": "Clothes"}),
    ],
)
@every_edition
def test_the_depth_chooses_the_name(tmp_path, edition, depth, categories):
    path = edition.write(tmp_path, "Toys", ROWS, ITEMS)
    assert dict(table(read([f"Toys={path}"], category_depth=depth), "item_id", "category")) == (
        categories
    )


def test_without_metadata_there_are_no_categories(tmp_path):
    path = OLD.write(tmp_path, "Toys", ROWS)
    log = read([f"Toys={path}"])
    assert "category" not in log.interactions
    assert log.notes == ("items have no categories, since no metadata were read",)
    write(tmp_path / "meta_Toys.json.gz", ["metadata that nobody reads"])
    assert "category" not in read([f"Toys={path}"], category_depth=0).interactions


@every_edition
def test_what_metadata_lack_or_say_twice_is_told(tmp_path, edition):
    items = [*ITEMS[2:3], ("B3", ["Toys & Games", "Cars"]), *ITEMS[2:3], ("B1", []), ("B1", [])]
    path = edition.write(tmp_path, "Toys", ROWS, items)
    log = read([f"Toys={path}"])
    assert dict(table(log, "item_id", "category")) == {
        "B1": "others",
        "B2": "others",
        "B3": "Dolls",
    }
    (note,) = log.notes
    assert note.endswith(
        ": 2; without, so that their category is 'others': 1; again with another category, the "
        "first counts: 1"
    )


def test_metadata_elsewhere_are_named_from_the_folder_of_the_reviews(tmp_path):
    for folder in ("reviews", "meta"):
        (tmp_path / folder).mkdir()
    path = OLD.write(tmp_path / "reviews", "Toys", ROWS)
    write(tmp_path / "meta" / "items.json", [item_2018(*row) for row in ITEMS[:2]])
    write(tmp_path / "more.txt", [item_2014(*row) for row in ITEMS[2:]])
    metadata = ("Toys=../meta/items.json", f"Toys={tmp_path / 'more.txt'}")
    log = read([f"Toys={path}"], metadata=metadata)
    assert set(table(log, "item_id", "category")) == {
        ("B1", "Games"),
        ("B2", "others"),
        ("B3", "Dolls"),
    }


def test_a_compressed_file_may_be_unpacked_under_its_name(tmp_path):
    path = OLD.write(tmp_path, "Toys", ROWS, ITEMS)
    for packed in tmp_path.iterdir():
        packed.write_bytes(gzip.decompress(packed.read_bytes()))
    assert table(read([f"Toys={path}"]), *NAMES) == ROWS


def test_a_summary_tells_what_the_reader_noted(tmp_path):
    rows = [("A1", f"B{k}", 5.0, k) for k in range(4)]
    path = OLD.write(tmp_path, "Toys", rows, ITEMS)
    split = splits.split(read([f"Toys={path}"]), SplitOptions())
    metadata = build.build(split, tmp_path / "data")
    assert metadata["summary"][-1] == (
        f"Toys: items with metadata in {tmp_path}/meta_Toys.json.gz: 3; without, so that their "
        "category is 'others': 1"
    )


def changed(line, **values):
    """A line of JSON with other values; None takes a key away."""
    record = json.loads(line) | values
    return json.dumps({key: value for key, value in record.items() if value is not None})


OLD_LINE, NEW_LINE = review_2014(*ROWS[0]), review_2023(*ROWS[0])


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        (OLD_LINE, OLD_LINE[:-9], "not JSON: Unterminated string"),
        (OLD_LINE, OLD_LINE + OLD_LINE, "not JSON: Extra data at sign"),
        (OLD_LINE, "5", "5 is not an object"),
        (OLD_LINE, item_2014("B1", []), "not JSON: Expecting property name"),
        (OLD_LINE, changed(OLD_LINE, overall=None), "no key 'overall'; the keys are ['reviewerID'"),
        (OLD_LINE, NEW_LINE, "no key 'reviewerID'; the keys are ['rating'"),
        (OLD_LINE, changed(OLD_LINE, reviewerID=7), "reviewerID 7 is not an id, which is a text"),
        (OLD_LINE, changed(OLD_LINE, asin=["B1"]), "asin ['B1'] is not an id, which is a text"),
        (OLD_LINE, changed(OLD_LINE, asin="\ud800"), "asin '\\ud800' is not an id"),
        (OLD_LINE, changed(OLD_LINE, asin=""), "item_id '' is not an id: it is empty, or has"),
        (OLD_LINE, changed(OLD_LINE, asin="\x1b[2J\n"), "item_id '\\x1b[2J\\n' is not an id"),
        (OLD_LINE, changed(OLD_LINE, overall="5"), "overall '5' is not a rating from 1 to 5"),
        (OLD_LINE, changed(OLD_LINE, overall=True), "overall True is not a rating from 1 to 5"),
        (OLD_LINE, changed(OLD_LINE, overall=0), "overall 0 is not a rating from 1 to 5"),
        (OLD_LINE, changed(OLD_LINE, overall=5.5), "overall 5.5 is not a rating from 1 to 5"),
        (OLD_LINE, changed(OLD_LINE, overall=float("nan")), "overall nan is not a rating"),
        (
            OLD_LINE,
            changed(OLD_LINE, unixReviewTime="now"),
            "unixReviewTime 'now' is not a time in whole seconds, from 1970 to 2099",
        ),
        (OLD_LINE, changed(OLD_LINE, unixReviewTime=1.5), "unixReviewTime 1.5 is not a time"),
        (OLD_LINE, changed(OLD_LINE, unixReviewTime=-1), "unixReviewTime -1 is not a time"),
        (
            OLD_LINE,
            changed(OLD_LINE, unixReviewTime=1588687728923),
            "unixReviewTime 1588687728923 is not a time in whole seconds",
        ),
        (NEW_LINE, changed(NEW_LINE, parent_asin=None), "no key 'parent_asin'; the keys are"),
        (NEW_LINE, changed(NEW_LINE, user_id=1.0), "user_id 1.0 is not an id, which is a text"),
        (NEW_LINE, changed(NEW_LINE, rating=6), "rating 6 is not a rating from 1 to 5"),
        (
            NEW_LINE,
            changed(NEW_LINE, timestamp=10**16),
            "timestamp 10000000000000000 is not a time in whole milliseconds, from 1970 to 2099",
        ),
    ],
)
def test_a_bad_review_is_named_by_file_line_and_field(tmp_path, good, bad, message):
    path = write(tmp_path / "reviews.json.gz", [good, "", bad, good])
    assert f"{path}, line 3: {message}" in error([f"Toys={path}"])
    log = read([f"Toys={path}"], max_bad_lines=1)
    assert (len(log.interactions), log.skipped_lines) == (2, 1)


def test_the_keys_of_an_edition_are_looked_for(tmp_path):
    path = write(tmp_path / "meta_Toys.json.gz", ['{"asin": "B1"}', OLD_LINE])
    assert error([f"Toys={path}"]).startswith(
        f"{path}, line 1: no review, which has reviewerID, asin, overall, unixReviewTime (2014, "
        "2018) or user_id, parent_asin, rating, timestamp (2023); the keys are ['asin']."
    )
    assert table(read([f"Toys={path}"], max_bad_lines=1), *NAMES) == ROWS[:1]
    write(path, ["{}"])
    assert "the input holds no interactions" in error([f"Toys={path}"], max_bad_lines=1)


LISTED = item_2018("B3", ["Toys", "Dolls"])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("{'asin': 'B3'", "neither JSON nor a Python literal of texts, numbers, lists and dicts"),
        ("{'asin': exit()}", "neither JSON nor a Python literal"),
        ("['B3']", "['B3'] is not an object"),
        (changed(LISTED, asin=None), "no key 'asin' (2014, 2018) or 'parent_asin' (2023); the key"),
        (changed(LISTED, asin=3), "asin 3 is not an id, which is a text"),
        (
            changed(LISTED, category=None),
            "no key 'categories' (2014, 2023) or 'category' (2018); the keys are",
        ),
        (changed(LISTED, category="Toys"), "category 'Toys' is not a path of names, or a list of"),
        (changed(LISTED, category=["Toys", 5]), "category ['Toys', 5] is not a path of names"),
        (changed(LISTED, category=[["Toys"], 5]), ""),
        (changed(LISTED, category=["Toys", ["Dolls"]]), "category ['Toys', ['Dolls']] is not a"),
        (changed(LISTED, category=["Toys", "\udc00"]), "category ['Toys', '\\udc00'] is not a"),
        ("{'asin': 'B7', damaged, but of no item of the reviews", ""),
    ],
)
def test_bad_metadata_are_named_by_file_line_and_field(tmp_path, bad, message):
    path = OLD.write(tmp_path, "Toys", ROWS, ITEMS)
    metadata = write(tmp_path / "meta_Toys.json.gz", [LISTED, bad, item_2014(*ITEMS[3])])
    if not message:
        assert read([f"Toys={path}"]).skipped_lines == 0
        return
    assert f"{metadata}, line 2: {message}" in error([f"Toys={path}"])
    log = read([f"Toys={path}"], max_bad_lines=1)
    assert log.skipped_lines == 1
    assert dict(table(log, "item_id", "category")) == {
        "B1": "Games",
        "B2": "others",
        "B3": "Dolls",
    }


@pytest.mark.parametrize("name", ["reviews_Toys_5.json.gz", "meta_Toys.json.gz"])
def test_a_truncated_file_is_named(tmp_path, name):
    path = OLD.write(tmp_path, "Toys", ROWS, ITEMS)
    packed = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(packed[:-10])
    # A line that is lost with the end of the file is none to be skipped.
    message = error([f"Toys={path}"], max_bad_lines=9)
    assert message.startswith(f"{tmp_path / name}: the gzip file is truncated, after line ")


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        (["{0}/reviews_Toys_5.json.gz"], {}, "name the file's domain, as in DOMAIN=PATH"),
        (["Toys={0}"], {}, "this is a folder, --input must name a file"),
        (["Toys={0}/reviews_Toys_5.json.gz@test"], {}, "this reader takes no @PART"),
        (["Toys={0}/none.txt"], {}, "none.txt: no such file; check --input."),
        (
            ["Toys={0}/reviews_Books_5.json.gz"],
            {},
            "no such file; check --input, or use --read.download to fetch "
            "http://snap.stanford.edu/data/amazon/productGraph/categoryFiles/reviews_Books_5.json",
        ),
        (["Toys={0}/none.txt"], {"download": True}, "reviews are not published under this name"),
        (
            ["Toys={0}/reviews_Toys_5.json.gz"],
            {"metadata": ("Books=meta.json",)},
            "--read.metadata=Books=meta.json: no such domain; --input names Toys.",
        ),
        (
            ["Toys={0}/reviews_Toys_5.json.gz"],
            {"metadata": ("Toys=meta.json",)},
            "{0}/meta.json: no such file; check --read.metadata.",
        ),
        (
            ["Toys={0}/reviews_Toys_5.json.gz", "Other={0}/other.json"],
            {},
            "Other has no metadata beside its reviews, other domains have; name them by",
        ),
        (["A={0}/a"], {"domains": ("B",)}, "--read.domains names B but --input names A"),
    ],
)
def test_inputs_that_do_not_fit_are_named(tmp_path, inputs, options, message):
    OLD.write(tmp_path, "Toys", ROWS, ITEMS)
    write(tmp_path / "other.json", [OLD_LINE])
    given = [text.format(tmp_path) for text in inputs]
    assert message.format(tmp_path) in error(given, **options)


@pytest.mark.parametrize(
    ("name", "url", "metadata_url"),
    [
        (
            "reviews_Toys_and_Games_5.json.gz",
            "http://snap.stanford.edu/data/amazon/productGraph/categoryFiles/"
            "reviews_Toys_and_Games_5.json.gz",
            "http://snap.stanford.edu/data/amazon/productGraph/categoryFiles/"
            "meta_Toys_and_Games.json.gz",
        ),
        (
            "reviews_Books.json",
            "http://snap.stanford.edu/data/amazon/productGraph/categoryFiles/reviews_Books.json.gz",
            "http://snap.stanford.edu/data/amazon/productGraph/categoryFiles/meta_Books.json.gz",
        ),
        (
            "Books_5.json.gz",
            "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_v2/categoryFilesSmall/"
            "Books_5.json.gz",
            "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_v2/metaFiles2/"
            "meta_Books.json.gz",
        ),
        (
            "AMAZON_FASHION.json.gz",
            "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_v2/categoryFiles/"
            "AMAZON_FASHION.json.gz",
            "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_v2/metaFiles2/"
            "meta_AMAZON_FASHION.json.gz",
        ),
        (
            "Books.jsonl.gz",
            "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_2023/raw/review_categories/"
            "Books.jsonl.gz",
            "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_2023/raw/meta_categories/"
            "meta_Books.jsonl.gz",
        ),
    ],
)
def test_published_names_tell_where_files_are(name, url, metadata_url):
    reviews = Reviews.named(name)
    assert (reviews.url, reviews.metadata_url) == (url, metadata_url)


@pytest.mark.parametrize(
    "name",
    ["meta_Books.json.gz", "Books_5.jsonl.gz", "reviews_Books.jsonl", "Books.csv", "a/B.json"],
)
def test_other_names_are_not_published(name):
    assert Reviews.named(name) is None


def test_what_is_missing_is_downloaded_as_published(tmp_path, monkeypatch):
    site = tmp_path / "site"
    site.mkdir()
    OLD.write(site, "Toys", ROWS, ITEMS)
    fetched = []

    def fetch(url, path):
        fetched.append(url)
        path.write_bytes((site / url.rsplit("/", 1)[1]).read_bytes())

    monkeypatch.setattr(downloads, "fetch", fetch)
    path = tmp_path / "reviews_Toys_5.json.gz"
    for _ in range(2):
        log = read([f"Toys={path}"], download=True)
        assert table(log, *NAMES) == ROWS
        assert log.interactions["category"].iloc[0] == "Dolls"
    assert fetched == [Reviews.named(path.name).url, Reviews.named(path.name).metadata_url]
    read([f"Toys={OLD.write(tmp_path, 'Games', ROWS)}"], download=True, category_depth=0)
    assert len(fetched) == 2


ids = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=6)
rows = st.tuples(
    ids,
    ids,
    st.integers(1, 5) | st.sampled_from([1.0, 2.5, 5.0]),
    st.integers(0, 4_102_444_799),
)
paths = st.lists(ids | st.sampled_from(["Toys & Games", 'Girls\' "best"', "a\\b"]), max_size=3)


@every_edition
@hypothesis.given(st.data())
def test_what_is_written_is_read_back(edition, data):
    written = data.draw(st.lists(rows, min_size=1, max_size=8))
    listed = data.draw(st.dictionaries(st.sampled_from([row[1] for row in written]), paths))
    depth = data.draw(st.integers(1, 3))
    with tempfile.TemporaryDirectory() as folder:
        path = edition.write(pathlib.Path(folder), "Toys", written, listed.items())
        if not listed:
            (path.parent / edition.metadata.format("Toys")).unlink()
        log = read([f"Toys={path}"], category_depth=depth)
    assert table(log, *NAMES) == written
    if listed:
        of = {item: names[depth - 1] for item, names in listed.items() if len(names) >= depth}
        expected = [of.get(row[1], "others") for row in written]
        assert log.interactions["category"].tolist() == expected
