"""Errors of training."""

from surgstream.configs.errors import SurgstreamError


class DecodeError(SurgstreamError):
    """A clip's bytes could not be turned into pixels."""


class ModelError(SurgstreamError):
    """A model cannot be built, or weights do not fit it."""


class CheckpointError(SurgstreamError):
    """A checkpoint cannot be resumed from."""


class SaveError(CheckpointError):
    """A checkpoint could not be written. A file system that is full or away may have recovered at the next start."""

    comes_again = False


class DistributedError(SurgstreamError):
    """The processes of a run do not fit together."""

    comes_again = False


class NonFiniteLossError(SurgstreamError):
    """The loss or the gradient norm became infinite or NaN."""


class PreflightError(SurgstreamError):
    """The nodes, the store, the network or the model are not fit for a run."""


class UnfitNodesError(PreflightError):
    """A few nodes are not fit for a run. The next start may get others."""

    comes_again = False
