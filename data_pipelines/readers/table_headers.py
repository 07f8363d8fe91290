"""The names in a table's header, as people and RecBole write them."""

import re
from collections.abc import Sequence

_RECBOLE_TYPE = re.compile(r"(.+):(token|float|token_seq|float_seq)")


def plain_names(header: Sequence[str]) -> list[str]:
    """Names without blanks at their ends and without RecBole's types, as in `user_id:token`."""
    names = [name.strip() for name in header]
    typed = [_RECBOLE_TYPE.fullmatch(name) for name in names]
    return [found[1] if found else name for name, found in zip(names, typed, strict=True)]
