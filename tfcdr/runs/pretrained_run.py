"""The run that another one starts from."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from tfcdr import named_rows
from tfcdr.data_source import DataSource
from tfcdr.errors import RunError
from tfcdr.named_rows import NamedRows
from tfcdr.runs.run_folder import RunFolder, differences
from tfcdr.stage_model import StageModel


@dataclasses.dataclass(frozen=True)
class PretrainedRun:
    """A run whose best epochs another one starts from.

    Attributes:
      folder: its files.
      data: what it has read, if it is other data, such as the log of the day before: then each
        stage starts from its own best epoch here and is trained. None where the data are the same:
        then the run stands for all stages but the last, which alone is trained. It may be of
        another target then, if its stage before the last is shared by all targets.
      other_seeds: the files of like runs by other seeds, if the last stage takes several models.
    """

    folder: RunFolder
    data: DataSource | None = None
    other_seeds: tuple[RunFolder, ...] = ()

    @property
    def folders(self) -> tuple[RunFolder, ...]:
        """The files of all seeds."""
        return (self.folder, *self.other_seeds)

    def check_system(self, name: str) -> None:
        """Raises RunError if it is a run of another system than the one of this name."""
        found = self.folder.config()["system"]
        if found != name:
            raise RunError(f"{self.folder.path}: a run of {found}, not of {name}.")

    def start(
        self,
        config: Any,
        model: StageModel,
        rows: Sequence[NamedRows],
        previous: StageModel,
        previous_rows: Sequence[NamedRows],
    ) -> str:
        """Gives a new model the weights of this run's on other data.

        Args:
          config: of the run that starts.
          model: is changed.
          rows: its variables with named rows.
          previous: the same stage's model at its best epoch here.
          previous_rows: its variables with named rows.

        Returns:
          How much is known.

        Raises:
          RunError: the models differ in more than their named rows, or share no name.
        """
        with self.naming_differences(config):
            try:
                overlap = named_rows.start_from(model, rows, previous, previous_rows)
            except RunError as error:
                raise RunError(f"{self.folder.path}: {error}") from error
        if not overlap.known:
            raise RunError(
                f"{self.folder.path}: none of its items, users or values is one of this run's: it "
                "is of other things, or its log calls them otherwise."
            )
        return (
            f"starts from {self.folder.path}, which knows {overlap.known:,} of the "
            f"{overlap.known + overlap.new:,} names that its tables have rows for"
            + (f"; {overlap.gone:,} of its own are gone" if overlap.gone else "")
        )

    @contextlib.contextmanager
    def naming_differences(self, config: Any) -> Iterator[None]:
        """A body whose RunError may come from another configuration, which is then described."""
        try:
            yield
        except RunError as error:
            ours = dataclasses.asdict(config)
            differing = differences("", self.folder.config().get("config", ours), ours)
            if not differing:
                raise
            raise RunError(
                f"{error} The configurations differ in {'; '.join(differing)}."
            ) from error
