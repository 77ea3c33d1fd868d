"""The root of every error that surgstream raises on purpose."""


class SurgstreamError(Exception):
    """Something a user can understand and mend. The command line prints it as one line, without a traceback.

    Messages read *where: expected X, got Y; do Z*.

    Attributes:
        exit_status: Of the command that it ends.
        comes_again: Whether the same command would meet it again, so that nobody should repeat it before it is mended.
    """

    exit_status = 1
    comes_again = True


class ConfigError(SurgstreamError):
    """One or more mistakes in a configuration; the message lists all of them."""

    exit_status = 2
