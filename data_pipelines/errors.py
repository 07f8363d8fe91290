"""The error that a person can mend by changing their input or their flags."""


class DataError(ValueError):
    """Bad input data or options; the message names the file, line and field and says what to do.

    Launchers print the message as one line and exit with status 1, without a stack trace.
    """
