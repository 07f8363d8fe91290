"""A split log as sharded TFRecords, vocabularies and metadata, whole or not at all."""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from data_pipelines.coding import user_histories, vocabulary
from data_pipelines.coding.summary import summary_table
from data_pipelines.coding.vocabulary import Vocabulary, write_tokens
from data_pipelines.errors import DataError
from data_pipelines.prepared.dataset import FORMAT_VERSION, METADATA_FILE, VOCABULARY_FOLDER
from data_pipelines.prepared.records import write_view
from data_pipelines.splitting.split_log import DomainRoles, SplitLog
from data_pipelines.views import VIEWS
from data_pipelines.views.view import ExampleOptions, View


def check_destination(data_dir: str | Path, overwrite: bool) -> None:
    """Raises DataError if `build` would refuse to write to the folder; touches nothing."""
    data_dir = Path(data_dir)
    if not data_dir.exists() or (data_dir.is_dir() and not any(data_dir.iterdir())):
        return
    if not (data_dir / METADATA_FILE).is_file():
        raise DataError(
            f"{data_dir}: exists and is not a prepared data set, so that it is neither read nor "
            "overwritten; choose another --data_dir or remove it."
        )
    if not overwrite:
        raise DataError(f"{data_dir}: exists; use --overwrite to replace it.")


def checked_views(
    names: Sequence[str], roles: DomainRoles, options: ExampleOptions
) -> tuple[View, ...]:
    """The views of these names, each once.

    Raises:
      DataError: a view is unknown or cannot be cut from a log with these domains.
    """
    if not names:
        raise DataError(f"no view is named; --view takes some of {', '.join(VIEWS)}.")
    for name in names:
        if name not in VIEWS:
            raise DataError(f"unknown view {name!r}; --view takes some of {', '.join(VIEWS)}.")
        VIEWS[name].check(roles, options)
    return tuple(VIEWS[name] for name in dict.fromkeys(names))


def build(
    split_log: SplitLog,
    views: Sequence[str],
    data_dir: str | Path,
    options: ExampleOptions,
    *,
    overwrite: bool = False,
    num_shards: int = 0,
    provenance: Mapping[str, Any] | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Writes a prepared data set in this process; it appears under `data_dir` in one rename.

    Args:
      split_log: the interactions and their parts.
      views: names from `views.VIEWS`.
      data_dir: the folder to make.
      options: how examples are cut.
      overwrite: replaces a prepared data set that is there. Any other folder is never touched.
      num_shards: files per view and split (at most one per example); 0 chooses by the number of
        examples.
      provenance: how the log was read and split; kept in the metadata, under `options`.
      progress: shows a bar per view and split.

    Returns:
      The metadata, as in `prepared.json`.

    Raises:
      DataError: the folder may not be written, a view is unknown or cannot be cut from this log,
        or has no training example.
    """
    check_destination(data_dir, overwrite)
    chosen = checked_views(views, split_log, options)
    numbered = user_histories.number(split_log)
    content = Content(
        roles=split_log,
        users=numbered.users,
        vocabularies=numbered.vocabularies,
        interactions=len(numbered.histories.items),
        digest=numbered.histories.digest(),
        dropped=split_log.dropped,
        summary=summary_table(split_log).splitlines(),
    )

    def write(view: View, folder: Path) -> dict[str, Any]:
        return write_view(view, numbered.histories, folder, options, num_shards, progress)

    return assemble(content, chosen, data_dir, options, provenance or {}, write)


@dataclasses.dataclass(frozen=True, eq=False)
class Content:
    """What is known about the interactions of a data set, whichever engine prepares it.

    Attributes:
      roles: its domains.
      users: raw user ids; user u is users[u - 1].
      vocabularies: by item space.
      interactions: how many the split log has.
      digest: `UserHistories.digest` of all users.
      dropped: what -> how many.
      summary: lines for people.
    """

    roles: DomainRoles
    users: Sequence[str]
    vocabularies: Mapping[str, Vocabulary]
    interactions: int
    digest: int
    dropped: Mapping[str, int]
    summary: Sequence[str]


def assemble(
    content: Content,
    views: Sequence[View],
    data_dir: str | Path,
    options: ExampleOptions,
    provenance: Mapping[str, Any],
    write: Callable[[View, Path], dict[str, Any]],
) -> dict[str, Any]:
    """Puts vocabularies, records and metadata into a folder that appears in one rename.

    Args:
      content: what is known about the interactions.
      views: which to write.
      data_dir: the folder to make; a data set that is there is replaced.
      options: how examples are cut.
      provenance: how the log was read and split.
      write: writes one view's records into a folder and returns its entry of the metadata.

    Returns:
      The metadata, as in `prepared.json`.
    """
    vocabularies = dict(content.vocabularies)
    if any(view.joint_space for view in views):
        roles = content.roles
        vocabularies["joint"] = vocabulary.joint(
            vocabularies["target"], vocabularies.get("source"), roles.target, roles.sources
        )
    metadata = _describe(content, options, provenance)
    metadata["spaces"].update({space: words.size for space, words in vocabularies.items()})
    with whole_or_nothing(Path(data_dir)) as unfinished:
        directory = unfinished / VOCABULARY_FOLDER
        for space, words in vocabularies.items():
            words.save(directory, space)
        write_tokens(directory / "users.txt", content.users)
        for view in views:
            metadata["views"][view.name] = write(view, unfinished)
        text = json.dumps(metadata, indent=2, ensure_ascii=False)
        (unfinished / METADATA_FILE).write_text(text + "\n", encoding="utf-8")
    return metadata


def _describe(
    content: Content, options: ExampleOptions, provenance: Mapping[str, Any]
) -> dict[str, Any]:
    roles, vocabularies = content.roles, content.vocabularies
    digest = hashlib.sha256(content.digest.to_bytes(32, "little"))
    for tokens in (content.users, *(v.tokens for v in vocabularies.values())):
        digest.update("\n".join(tokens).encode())
    examples = dataclasses.asdict(options)
    described = [FORMAT_VERSION, roles.domains, roles.target, examples]
    digest.update(json.dumps(described).encode())
    return {
        "format_version": FORMAT_VERSION,
        "fingerprint": digest.hexdigest(),
        "domains": list(roles.domains),
        "sources": list(roles.sources),
        "target": roles.target,
        "comparable_times": roles.comparable_times,
        "users": len(content.users),
        "interactions": content.interactions,
        "dropped": dict(content.dropped),
        "summary": list(content.summary),
        "spaces": {},
        "options": {"examples": examples, **provenance},
        "views": {},
    }


@contextlib.contextmanager
def whole_or_nothing(data_dir: Path) -> Iterator[Path]:
    """Gives a new folder beside `data_dir` that takes its place in the end, or vanishes."""
    try:
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=f".{data_dir.name}.unfinished-", dir=data_dir.parent))
    except OSError as error:
        raise DataError(f"{data_dir}: cannot be written ({error.strerror}).") from error
    try:
        unfinished = place / "new"
        unfinished.mkdir()
        yield unfinished
        _replace(data_dir, unfinished, aside=place / "old")
    except (OSError, tf.errors.OpError) as error:  # A full disk, above all.
        raise DataError(f"{data_dir}: could not be written ({error}).") from error
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _replace(data_dir: Path, new: Path, aside: Path) -> None:
    """Renames `new` to `data_dir`; what was there goes `aside`, or stays if that fails."""
    if not data_dir.exists():
        os.rename(new, data_dir)
        return
    os.rename(data_dir, aside)
    try:
        os.rename(new, data_dir)
    except BaseException:
        os.rename(aside, data_dir)
        raise
