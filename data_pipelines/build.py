"""A split log as sharded TFRecords, vocabularies and metadata, whole or not at all."""

import contextlib
import dataclasses
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
import tqdm
from absl import logging
from etils import epath
from tensorflow_datasets.core.utils import shard_utils

from data_pipelines import splits, user_histories
from data_pipelines.dataset import FORMAT_VERSION, METADATA_FILE, VOCABULARY_FOLDER
from data_pipelines.errors import DataError
from data_pipelines.logs import PARTS
from data_pipelines.splits import SplitLog
from data_pipelines.user_histories import CodedLog, UserHistories
from data_pipelines.views import VIEWS
from data_pipelines.views.view import ExampleOptions, View
from data_pipelines.vocabulary import write_tokens

# Several shards let files be interleaved and workers share them; tiny shards only cost time.
_MAX_DEFAULT_SHARDS = 16
_EXAMPLES_PER_SHARD = 4096


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
    """Writes a prepared data set, which appears under `data_dir` in one rename.

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
    data_dir = Path(data_dir)
    check_destination(data_dir, overwrite)
    if not views:
        raise DataError(f"no view is named; --view takes some of {', '.join(VIEWS)}.")
    for name in views:
        if name not in VIEWS:
            raise DataError(f"unknown view {name!r}; --view takes some of {', '.join(VIEWS)}.")
        VIEWS[name].check(split_log, options)
    views = tuple(dict.fromkeys(views))
    coded = user_histories.code(split_log)
    metadata = _describe(split_log, coded, options, provenance or {})
    with _whole_or_nothing(data_dir) as unfinished:
        directory = unfinished / VOCABULARY_FOLDER
        for space, vocabulary in coded.vocabularies.items():
            vocabulary.save(directory, space)
        write_tokens(directory / "users.txt", coded.users)
        for name in views:
            metadata["views"][name] = _write_view(
                VIEWS[name], coded.histories, unfinished, options, num_shards, progress
            )
        text = json.dumps(metadata, indent=2, ensure_ascii=False)
        (unfinished / METADATA_FILE).write_text(text + "\n", encoding="utf-8")
    return metadata


def _describe(
    split_log: SplitLog, coded: CodedLog, options: ExampleOptions, provenance: Mapping[str, Any]
) -> dict[str, Any]:
    digest = coded.histories.digest()
    for tokens in (coded.users, *(v.tokens for v in coded.vocabularies.values())):
        digest.update("\n".join(tokens).encode())
    examples = dataclasses.asdict(options)
    described = [FORMAT_VERSION, split_log.domains, split_log.target, examples]
    digest.update(json.dumps(described).encode())
    return {
        "format_version": FORMAT_VERSION,
        "fingerprint": digest.hexdigest(),
        "domains": list(split_log.domains),
        "sources": list(split_log.sources),
        "target": split_log.target,
        "comparable_times": split_log.comparable_times,
        "users": len(coded.users),
        "interactions": len(coded.histories.items),
        "dropped": dict(split_log.dropped),
        "summary": splits.summary_table(split_log).splitlines(),
        "spaces": {space: v.size for space, v in coded.vocabularies.items()},
        "options": {"examples": examples, **provenance},
        "views": {},
    }


@contextlib.contextmanager
def _whole_or_nothing(data_dir: Path) -> Iterator[Path]:
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


def _write_view(
    view: View,
    histories: UserHistories,
    root: Path,
    options: ExampleOptions,
    num_shards: int,
    progress: bool,
) -> dict[str, Any]:
    """Writes the records of one view through TFDS; returns their counts."""
    splits = {part: _SplitExamples(view, histories, part, options, progress) for part in PARTS}
    # TFDS refuses a split without examples, so that such a split is left out.
    filled = {part: examples for part, examples in splits.items() if examples.any()}
    if "train" not in filled:
        raise DataError(f"view {view.name} has no training example: check the --split.* flags.")
    builder = _RecordBuilder(view, filled, data_dir=root)
    with _quiet_tfds():
        builder.download_and_prepare(
            download_dir=root.with_name("downloads"),
            download_config=_DownloadConfig(num_shards=num_shards or None, try_download_gcs=False),
        )
    return {
        "version": view.version,
        "splits": {part: examples.statistics() for part, examples in filled.items()},
    }


@contextlib.contextmanager
def _quiet_tfds() -> Iterator[None]:
    """Silences that TFDS "downloads" the user's own data; our bar knows the number of users."""
    tfds.disable_progress_bar()
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)
        tfds.enable_progress_bar()


class _SplitExamples:
    """Iterates over (key, example) of one view and part, and counts while it does."""

    def __init__(
        self,
        view: View,
        histories: UserHistories,
        part: str,
        options: ExampleOptions,
        progress: bool,
    ) -> None:
        self._view = view
        self._histories = histories
        self._part = part
        self._options = options
        self._progress = progress
        self._examples = 0
        self._longest = dict.fromkeys(view.sequences, 0)
        self._empty = dict.fromkeys(view.sequences, 0)

    def any(self) -> bool:
        """Whether there is an example at all."""
        part = PARTS.index(self._part)
        return any(
            True
            for history in self._histories
            for _ in self._view.examples(history, part, self._options)
        )

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        part = PARTS.index(self._part)
        longest, empty = self._longest, self._empty
        for history in tqdm.tqdm(
            self._histories,
            desc=f"{self._view.name} {self._part}",
            unit=" users",
            disable=not self._progress,
        ):
            for index, example in enumerate(self._view.examples(history, part, self._options)):
                self._examples += 1
                for name in longest:
                    length = len(example[name])
                    longest[name] = max(longest[name], length)
                    empty[name] += not length
                # The key decides the place on disk: a hash of it, so that users are mixed.
                yield f"{history.user}-{index}", example

    def statistics(self) -> dict[str, Any]:
        """Returns the counts of a finished iteration."""
        return {"examples": self._examples, "longest": self._longest, "empty": self._empty}


class _RecordBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Writes one view's splits; what it writes, `tfds.builder_from_directory` reads."""

    # TFDS would find these by itself through importlib_resources, which it needs but does not
    # install on the Python versions that tfcdr supports.
    code_path = epath.Path(__file__)
    pkg_dir_path = epath.Path(__file__).parent

    def __init__(self, view: View, splits: Mapping[str, _SplitExamples], data_dir: Path) -> None:
        self.name = view.name
        self.VERSION = tfds.core.Version(view.version)
        self._view = view
        self._splits = splits
        super().__init__(data_dir=data_dir)

    def _info(self) -> tfds.core.DatasetInfo:
        features: dict[str, Any] = {}
        # `Tensor` encodes ten times faster than the equivalent `Scalar` and `Sequence`.
        for name in self._view.scalars:
            features[name] = tfds.features.Tensor(shape=(), dtype=np.int64)
        for name in self._view.sequences:
            features[name] = tfds.features.Tensor(shape=(None,), dtype=np.int64)
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"Examples of view {self._view.name}.",
            features=tfds.features.FeaturesDict(features),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> Mapping[str, Any]:
        del dl_manager
        return dict(self._splits)

    def _generate_examples(self) -> None:
        raise NotImplementedError("Each split brings its own examples.")


class _ShardConfig(shard_utils.ShardConfig):
    """Chooses the number of shards by the number of examples; never an empty shard."""

    def get_number_shards(
        self, total_size: int, num_examples: int, uses_precise_sharding: bool = True
    ) -> int:
        del total_size, uses_precise_sharding
        if self.num_shards:
            return min(self.num_shards, num_examples)
        return max(1, min(_MAX_DEFAULT_SHARDS, num_examples // _EXAMPLES_PER_SHARD))


class _DownloadConfig(tfds.download.DownloadConfig):
    """Passes this module's choice of shards on."""

    def get_shard_config(self) -> shard_utils.ShardConfig:
        return _ShardConfig(num_shards=self.num_shards)
