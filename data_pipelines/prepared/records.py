"""One view's examples as sharded TFRecords, written through TensorFlow Datasets."""

import contextlib
import dataclasses
import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
import tqdm
from absl import logging
from etils import epath
from tensorflow_datasets.core.utils import shard_utils

from data_pipelines.coding.user_histories import UserHistory
from data_pipelines.errors import DataError
from data_pipelines.logs import PARTS
from data_pipelines.views.view import Example, ExampleOptions, StoredView, View

# Apache Beam sorts a shard in the memory of one worker.
_MAX_SHARD_BYTES = 1 << 28


@dataclasses.dataclass
class ExampleCounts:
    """What is counted over the examples of a view and part.

    Attributes:
      examples: their number.
      longest: for each sequence feature, its greatest length.
      empty: for each sequence feature, how many examples have it empty.
    """

    examples: int
    longest: dict[str, int]
    empty: dict[str, int]

    @classmethod
    def of_none(cls, view: View) -> "ExampleCounts":
        """The counts over no example."""
        return cls(0, dict.fromkeys(view.sequences, 0), dict.fromkeys(view.sequences, 0))

    def add(self, example: Example) -> None:
        """Counts one more example."""
        self.examples += 1
        for name, longest in self.longest.items():
            length = len(example[name])
            if length > longest:
                self.longest[name] = length
            elif not length:
                self.empty[name] += 1

    def merge(self, other: "ExampleCounts") -> None:
        """Adds the counts over other examples."""
        self.examples += other.examples
        for name in self.longest:
            self.longest[name] = max(self.longest[name], other.longest[name])
            self.empty[name] += other.empty[name]


def keyed_examples(
    view: View,
    histories: Iterable[UserHistory],
    part: str,
    options: ExampleOptions,
    counts: ExampleCounts,
) -> Iterator[tuple[str, Example]]:
    """Yields (key, example), counting; a hash of the key decides the place on disk."""
    number = PARTS.index(part)
    for history in histories:
        for index, example in enumerate(view.examples(history, number, options)):
            counts.add(example)
            yield f"{history.user}-{index}", example


def has_examples(
    view: View, histories: Iterable[UserHistory], part: str, options: ExampleOptions
) -> bool:
    """Whether there is any example; stops at the first."""
    number = PARTS.index(part)
    return any(True for history in histories for _ in view.examples(history, number, options))


def require_training(view: View, parts: Iterable[str]) -> None:
    """Raises DataError unless the view has training examples."""
    if "train" not in parts:
        raise DataError(f"view {view.name} has no training example: check the --split.* flags.")


def write_view(
    view: View,
    histories: Iterable[UserHistory],
    root: Path,
    options: ExampleOptions,
    num_shards: int,
    progress: bool,
) -> dict[str, Any]:
    """Writes the records of one view in this process.

    Args:
      view: cuts the examples.
      histories: of all users; read several times.
      root: the folder to write to.
      options: how examples are cut.
      num_shards: 0 chooses by the number of examples.
      progress: shows a bar per split.

    Returns:
      The view's entry of the metadata.
    """
    # TFDS refuses a split without examples, so that such a split is left out.
    filled = [part for part in PARTS if has_examples(view, histories, part, options)]
    require_training(view, filled)
    counts = {part: ExampleCounts.of_none(view) for part in filled}
    splits = {
        part: keyed_examples(
            view,
            _with_bar(histories, f"{view.name} {part}", progress),
            part,
            options,
            counts[part],
        )
        for part in filled
    }
    RecordBuilder(view, splits, root).write(num_shards)
    return view_metadata(view, counts)


def _with_bar(
    histories: Iterable[UserHistory], title: str, progress: bool
) -> Iterator[UserHistory]:
    """Iterates with a bar that appears when the iteration starts."""
    yield from tqdm.tqdm(histories, desc=title, unit=" users", disable=not progress)


def view_metadata(view: View, counts: Mapping[str, ExampleCounts]) -> dict[str, Any]:
    """A view's entry of the metadata."""
    splits = {part: dataclasses.asdict(count) for part, count in counts.items()}
    return {"version": view.version, "splits": splits}


class RecordBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Writes one view's splits; what it writes, `tfds.builder_from_directory` reads."""

    # TFDS would find these by itself through importlib_resources, which it needs but does not
    # install on the Python versions that tfcdr supports.
    code_path = epath.Path(__file__)
    pkg_dir_path = epath.Path(__file__).parent

    def __init__(
        self, view: StoredView, splits: Mapping[str, Any], data_dir: epath.PathLike
    ) -> None:
        """Remembers the splits: iterables of (key, example), or Beam transforms that make them."""
        self.name = view.name
        self.VERSION = tfds.core.Version(view.version)
        self._view = view
        self._splits = splits
        self._root = epath.Path(data_dir)
        super().__init__(data_dir=data_dir)

    def write(self, num_shards: int, **download_config: Any) -> None:
        """Writes all splits; further arguments go to `tfds.download.DownloadConfig`."""
        view = self._view
        shards = _ShardConfig(
            num_shards=num_shards or None,
            records_per_shard=view.records_per_shard,
            most_shards=view.most_shards,
        )
        config = _DownloadConfig(shards=shards, try_download_gcs=False, **download_config)
        with _quiet_tfds():
            self.download_and_prepare(
                download_dir=self._root.parent / "downloads", download_config=config
            )

    def _info(self) -> tfds.core.DatasetInfo:
        # `Tensor` encodes ten times faster than the equivalent `Scalar` and `Sequence`.
        features = {
            name: tfds.features.Tensor(shape=tuple(spec.shape), dtype=spec.dtype.as_numpy_dtype)
            for name, spec in self._view.features.items()
        }
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


@dataclasses.dataclass(frozen=True)
class _ShardConfig(shard_utils.ShardConfig):
    """Chooses the number of shards by the number and size of examples; never an empty shard.

    Attributes:
      records_per_shard, most_shards: the view's.
    """

    records_per_shard: int = 1
    most_shards: int = 1

    def get_number_shards(
        self, total_size: int, num_examples: int, uses_precise_sharding: bool = True
    ) -> int:
        del uses_precise_sharding
        if self.num_shards:
            return min(self.num_shards, num_examples)
        by_number = min(self.most_shards, num_examples // self.records_per_shard)
        return max(1, by_number, -(-total_size // _MAX_SHARD_BYTES))


@dataclasses.dataclass(eq=False)
class _DownloadConfig(tfds.download.DownloadConfig):
    """Passes this module's choice of shards on."""

    shards: shard_utils.ShardConfig | None = None

    def get_shard_config(self) -> shard_utils.ShardConfig:
        return self.shards
