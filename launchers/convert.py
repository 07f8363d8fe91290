"""Converts raw logs, of interactions or of impressions, to TFRecords that models read.

    python launchers/convert.py --reader=csv --input=log.csv --data_dir=mine
    python launchers/convert.py --reader=aliexpress --impression_split.target=NL \
        --input=RU=aliexpress_RU_datasets.zip,NL=aliexpress_NL_datasets.zip --data_dir=theirs

Interactions are converted once for every system, target and length of history. The data set appears
under `--data_dir` in one rename, whole or not at all.
"""

from collections.abc import Sequence

from absl import flags

from launchers import data_flags, program

_LOG = flags.DEFINE_enum(
    "log",
    None,
    data_flags.LOGS,
    "What the log is made of, where the reader reads several kinds; interactions by default.",
)
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replaces the data set in --data_dir.")
flags.adopt_module_key_flags(data_flags)


def main(argv: Sequence[str]) -> None:
    """Runs the conversion that the flags describe."""
    del argv
    folder = data_flags.data_dir()
    metadata = data_flags.build_data(folder, _LOG.value, overwrite=_OVERWRITE.value)
    print("\n".join(metadata["summary"]))
    print(f"wrote {folder}")


def run() -> None:
    """Console entry point."""
    program.run(main)


if __name__ == "__main__":
    run()
