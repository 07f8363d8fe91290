"""Reader `amazon`: reviews and metadata of Amazon's categories as published in 2014, 2018 and 2023.

- 2014: McAuley et al., Image-based recommendations on styles and substitutes (SIGIR 2015)
- 2018: Ni et al., Justifying recommendations using distantly-labeled reviews (EMNLP 2019)
- 2023: Hou et al., Bridging language and items for retrieval and recommendation (2024)

Each domain is a file of reviews, `--input=Books=reviews_Books_5.json.gz,Toys=...`, compressed or
not; the keys of its lines tell the edition:

    {"reviewerID": "A1", "asin": "B1", "overall": 5.0, "unixReviewTime": 1400000000, ...}
    {"user_id": "A1", "parent_asin": "B1", "rating": 5.0, "timestamp": 1588687728923, ...}   (2023)

The log has ratings, and an item's category from the metadata of its domain: the second name of its
first path (`--read.category_depth`), "others" where the path is shorter or the item has no
metadata. They are found beside the reviews under their published name (`amazon_files`), or by
`--read.metadata`. Texts are never kept, so that memory grows with the number of reviews alone.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from data_pipelines.errors import DataError
from data_pipelines.logs import InteractionLog
from data_pipelines.readers import downloads
from data_pipelines.readers.amazon_files import Reviews
from data_pipelines.readers.amazon_metadata import OTHERS, read_categories
from data_pipelines.readers.amazon_reviews import read_reviews
from data_pipelines.readers.assembly import LogAssembly, line_locator, read_bad_lines
from data_pipelines.readers.options import FileOptions, Input, input_domains, parse_inputs
from data_pipelines.readers.reader import Reader
from data_pipelines.readers.text_files import require_file


@dataclasses.dataclass(frozen=True)
class AmazonOptions(FileOptions):
    """How review files are understood.

    Attributes:
      category_depth: which name of an item's first path of categories is its category: 1 for the
        root, 2 for what is below; 0 reads no metadata.
      metadata: DOMAIN=PATH for metadata that do not lie beside the domain's reviews under their
        published name; a relative path starts at the folder of the reviews.
      download: whether files that are not there, named as they are published, are downloaded; those
        that are there are taken as they are.
    """

    category_depth: int = 2
    metadata: tuple[str, ...] = ()
    download: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.category_depth < 0:
            raise DataError(f"category_depth is {self.category_depth}: it must not be negative.")
        if self.metadata and not self.category_depth:
            raise DataError("metadata have no meaning with category_depth 0: leave them out.")
        for text in self.metadata:
            domain, _, path = text.partition("=")
            if not (domain and path):
                raise DataError(f"metadata {text!r}: name the domain, as in DOMAIN=PATH.")


def read(inputs: Sequence[str], options: AmazonOptions) -> InteractionLog:
    """Reads files of reviews, and metadata if there are any.

    Args:
      inputs: DOMAIN=PATH; a domain may have several files.
      options: `--read.*`.

    Raises:
      DataError: names the file, line and field, or the flag.
    """
    entries = parse_inputs(inputs, named=True)
    domains = input_domains(entries, options)
    for entry in entries:
        if entry.part:
            raise DataError(f"--input={entry.path}@{entry.part}: this reader takes no @PART.")
        _require_reviews(entry.path, options)
    metadata = _metadata_files(entries, options)
    assembly = LogAssembly(domains, read_bad_lines(options))
    for domain in domains:
        paths = [entry.path for entry in entries if entry.domain == domain]
        tables = [read_reviews(path, assembly.bad_lines) for path in paths]
        if metadata:
            _add_categories(
                domain, [rows for rows, _ in tables], metadata[domain], options, assembly
            )
        for path, (rows, numbers) in zip(paths, tables, strict=True):
            assembly.add(rows.assign(domain=domain), line_locator(path, numbers))
    if not metadata:
        assembly.notes.append("items have no categories, since no metadata were read")
    return assembly.log(comparable_times=True)


READER = Reader("amazon", AmazonOptions, read)


def _require_reviews(path: pathlib.Path, options: AmazonOptions) -> None:
    """Raises a DataError unless the reviews are there, or could be fetched."""
    if not path.exists():
        published = Reviews.named(path.name)
        if published and options.download:
            downloads.fetch(published.url, path)
        elif published:
            raise DataError(
                f"{path}: no such file; check --input, or use --read.download to fetch "
                f"{published.url}."
            )
        elif options.download:
            raise DataError(
                f"{path}: no such file, and reviews are not published under this name, as in "
                "reviews_Books_5.json.gz (2014), Books_5.json.gz (2018) or Books.jsonl.gz (2023)."
            )
    require_file(path)


def _metadata_files(
    entries: Sequence[Input], options: AmazonOptions
) -> Mapping[str, Sequence[pathlib.Path]]:
    """Finds the metadata of every domain.

    Returns:
      Domain -> its files; empty if no domain has any.

    Raises:
      DataError: some domains have metadata and others have none, or a file that is named is
        missing.
    """
    if not options.category_depth:
        return {}
    files: dict[str, list[pathlib.Path]] = {entry.domain: [] for entry in entries}
    for text in options.metadata:
        domain, _, name = text.partition("=")
        if domain not in files:
            raise DataError(
                f"--read.metadata={text}: no such domain; --input names {', '.join(files)}."
            )
        reviews = next(entry.path for entry in entries if entry.domain == domain)
        files[domain].append(reviews.parent / name)
        if not files[domain][-1].exists():
            raise DataError(f"{files[domain][-1]}: no such file; check --read.metadata.")
    named = {domain for domain, paths in files.items() if paths}
    for entry in entries:
        if entry.domain not in named:
            files[entry.domain] += _published_metadata(entry.path, options)
    files = {domain: list(dict.fromkeys(paths)) for domain, paths in files.items()}
    for paths in files.values():
        for path in paths:
            require_file(path)
    lacking = [domain for domain, paths in files.items() if not paths]
    if len(lacking) == len(files):
        return {}
    if lacking:
        raise DataError(
            f"--input: {lacking[0]} has no metadata beside its reviews, other domains have; name "
            "them by --read.metadata, or read none by --read.category_depth=0."
        )
    return files


def _published_metadata(reviews: pathlib.Path, options: AmazonOptions) -> list[pathlib.Path]:
    """Returns the metadata that lie beside reviews, or can be fetched; none or one."""
    published = Reviews.named(reviews.name)
    if not published:
        return []
    paths = [reviews.parent / name for name in published.metadata_names]
    found = [path for path in paths if path.exists()]
    if not found and options.download:
        downloads.fetch(published.metadata_url, paths[0])
        found = paths
    return found[:1]


def _add_categories(
    domain: str,
    tables: Sequence[pd.DataFrame],
    paths: Sequence[pathlib.Path],
    options: AmazonOptions,
    assembly: LogAssembly,
) -> None:
    """Gives a domain's reviews a column of categories, and notes what was found."""
    items = pd.Index(np.unique(np.concatenate([rows["item_id"].unique() for rows in tables])))
    found = read_categories(paths, set(items), options.category_depth, assembly.bad_lines)
    names = pd.Series([found.names.get(item, OTHERS) for item in items], dtype="str")
    for rows in tables:
        rows["category"] = names.take(items.get_indexer(rows["item_id"])).array
    note = f"{domain}: items with metadata in {', '.join(map(str, paths))}: {len(found.names):,}"
    if missing := len(items) - len(found.names):
        note += f"; without, so that their category is {OTHERS!r}: {missing:,}"
    if found.contradicted:
        note += f"; again with another category, the first counts: {found.contradicted:,}"
    assembly.notes.append(note)
