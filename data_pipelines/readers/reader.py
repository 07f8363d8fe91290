"""What a reader is: a name for `--reader`, the options that it takes, a function that reads."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Options = TypeVar("Options")
Log = TypeVar("Log")


@dataclasses.dataclass(frozen=True)
class Reader(Generic[Options, Log]):
    """A format of raw files, or a way to draw a log.

    Attributes:
      name: what `--reader` calls it.
      options: a frozen dataclass with exactly the options that have a meaning for this reader, each
        with its default and an entry under `Attributes:`.
      read: makes the canonical log of the entries of `--input` and an instance of `options`.
    """

    name: str
    options: type[Options]
    read: Callable[[Sequence[str], Options], Log]

    def __call__(self, inputs: Sequence[str], options: Options | None = None) -> Log:
        """Reads, with the default options if none are given.

        Raises:
          TypeError: the options are another reader's.
          DataError: bad input; the message names the file, line and field, or the flag.
        """
        if options is None:
            options = self.options()
        if not isinstance(options, self.options):
            raise TypeError(
                f"reader {self.name} takes {self.options.__name__}. "
                f"Received: {type(options).__name__}."
            )
        return self.read(inputs, options)
