"""The names under which the review files are published, and where.

| edition | reviews | metadata |
| --- | --- | --- |
| 2014 | `reviews_<Category>.json.gz`, `reviews_<Category>_5.json.gz` | `meta_<Category>.json.gz` |
| 2018 | `<Category>.json.gz`, `<Category>_5.json.gz` | `meta_<Category>.json.gz` |
| 2023 | `<Category>.jsonl.gz` | `meta_<Category>.jsonl.gz` |

`_5` is the 5-core, of users and items with at least five reviews. Each may be unpacked, without
`.gz`.
"""

import re
from typing import NamedTuple

_NAME = re.compile(r"(?!meta_)(reviews_)?([\w&-]+?)(_5)?(\.jsonl?)(?:\.gz)?")
_SITE_2014 = "http://snap.stanford.edu/data/amazon/productGraph/categoryFiles"
_SITE = "https://mcauleylab.ucsd.edu/public_datasets/data"


class Reviews(NamedTuple):
    """A file of reviews, as its name tells.

    Attributes:
      category: as in the names.
      prefix: what stands before it.
      core: what stands after it.
      suffix: what ends the name, without .gz.
    """

    category: str
    prefix: str
    core: str
    suffix: str

    @classmethod
    def named(cls, name: str) -> "Reviews | None":
        """Returns what a file's name tells, or None if reviews are not published so."""
        found = _NAME.fullmatch(name)
        if not found:
            return None
        prefix, category, core, suffix = (part or "" for part in found.groups())
        if suffix == ".jsonl" and (prefix or core):
            return None
        return cls(category, prefix, core, suffix)

    @property
    def url(self) -> str:
        """Where the reviews are published."""
        if self.suffix == ".jsonl":
            return f"{_SITE}/amazon_2023/raw/review_categories/{self.category}.jsonl.gz"
        if self.prefix:
            return f"{_SITE_2014}/reviews_{self.category}{self.core}.json.gz"
        folder = "categoryFilesSmall" if self.core else "categoryFiles"
        return f"{_SITE}/amazon_v2/{folder}/{self.category}{self.core}.json.gz"

    @property
    def metadata_url(self) -> str:
        """Where the metadata of the category are published."""
        if self.suffix == ".jsonl":
            return f"{_SITE}/amazon_2023/raw/meta_categories/{self.metadata_names[0]}"
        if self.prefix:
            return f"{_SITE_2014}/{self.metadata_names[0]}"
        return f"{_SITE}/amazon_v2/metaFiles2/{self.metadata_names[0]}"

    @property
    def metadata_names(self) -> tuple[str, str]:
        """What the metadata of the category are called: as published, and unpacked."""
        plain = f"meta_{self.category}{self.suffix}"
        return f"{plain}.gz", plain
