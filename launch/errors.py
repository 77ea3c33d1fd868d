"""Errors in starting jobs."""

from surgstream.configs.errors import SurgstreamError


class LaunchError(SurgstreamError):
    """A program that starts jobs is missing, or refused."""
