"""The root of every error that surgstream raises on purpose."""


class SurgstreamError(Exception):
    """Something a user can understand and mend. The command line prints it as one line, without a traceback.

    Messages read *where: expected X, got Y; do Z*.
    """

    exit_status = 1


class ConfigError(SurgstreamError):
    """One or more mistakes in a configuration; the message lists all of them."""

    exit_status = 2
