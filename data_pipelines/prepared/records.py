"""Sharded TFRecords of one kind, written through TensorFlow Datasets."""

import contextlib
import dataclasses
import io
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging
from etils import epath
from tensorflow_datasets.core.utils import shard_utils

# Apache Beam sorts a shard in the memory of one worker.
_MAX_SHARD_BYTES = 1 << 28


@dataclasses.dataclass(frozen=True)
class RecordKind:
    """What records hold and how they are spread over files.

    Attributes:
      name: of the folder.
      version: goes up when records of the old kind can no longer be read.
      features: of a record, by name.
      records_per_shard: a file has at least as many where its split has.
      most_shards: a split has more files only to keep them small.
    """

    name: str
    version: str
    features: Mapping[str, tf.TensorSpec]
    # Several shards let files be interleaved and workers share them; tiny shards only cost time.
    records_per_shard: int = 4096
    most_shards: int = 16


class RecordBuilder(  # type: ignore[call-arg]  # Of a base class without types.
    tfds.core.GeneratorBasedBuilder, skip_registration=True
):
    """Writes the splits of one kind; what it writes, `tfds.builder_from_directory` reads."""

    # TFDS would find these by itself through importlib_resources, which it needs but does not
    # install on the Python versions that tfcdr supports.
    code_path = epath.Path(__file__)
    pkg_dir_path = epath.Path(__file__).parent

    def __init__(
        self, kind: RecordKind, splits: Mapping[str, Any], data_dir: epath.PathLike
    ) -> None:
        """Remembers the splits: iterables of (key, record), or Beam transforms that make them."""
        self.name = kind.name
        self.VERSION = tfds.core.Version(kind.version)
        self._kind = kind
        self._splits = splits
        self._root = epath.Path(data_dir)
        super().__init__(data_dir=data_dir)

    def write(self, num_shards: int, **download_config: Any) -> None:
        """Writes all splits; further arguments go to `tfds.download.DownloadConfig`."""
        kind = self._kind
        shards = _ShardConfig(
            num_shards=num_shards or None,
            records_per_shard=kind.records_per_shard,
            most_shards=kind.most_shards,
        )
        config = _DownloadConfig(shards=shards, try_download_gcs=False, **download_config)
        with _quiet_tfds():
            try:
                self.download_and_prepare(
                    download_dir=self._root.parent / "downloads", download_config=config
                )
            except RuntimeError as error:
                if isinstance(error.__cause__, (OSError, tf.errors.OpError)):
                    raise error.__cause__ from error  # TFDS hides what hindered it, a full disk.
                raise

    def _info(self) -> tfds.core.DatasetInfo:
        # `Tensor` encodes ten times faster than the equivalent `Scalar` and `Sequence`.
        features = {
            name: tfds.features.Tensor(shape=tuple(spec.shape), dtype=spec.dtype.as_numpy_dtype)
            for name, spec in self._kind.features.items()
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"Records of kind {self._kind.name}.",
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
    """Chooses the number of shards by the number and size of records; never an empty shard.

    Attributes:
      records_per_shard, most_shards: the kind's.
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
