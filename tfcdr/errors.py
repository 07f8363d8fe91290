"""The error that a person can mend: a configuration, a checkpoint or a run gone wrong."""


class RunError(ValueError):
    """A run cannot start or go on; the message says why and what to do.

    Launchers print the message as one line and exit with status 1, without a stack trace.
    """
