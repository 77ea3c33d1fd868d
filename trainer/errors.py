"""Errors of training."""

from collections.abc import Mapping

from surgstream.configs.errors import SurgstreamError


class DecodeError(SurgstreamError):
    """A clip's bytes could not be turned into pixels."""


class DamagedFramesError(DecodeError):
    """Frames of a batch are no JPEGs that can be decoded.

    Attributes:
        reasons: What is wrong with each, by its position in the batch.
    """

    def __init__(self, reasons: Mapping[int, str]) -> None:
        super().__init__("; ".join(f"frame {i}: {reason}" for i, reason in reasons.items()))
        self.reasons = reasons


class DecodingDeviceError(DecodeError):
    """The memory or the device that decodes failed, not what it was given; another node may do better."""

    comes_again = False


class ModelError(SurgstreamError):
    """A model cannot be built, or weights do not fit it."""


class FeatureError(SurgstreamError):
    """Features cannot be kept, or stored ones are not those that are asked for."""


class MetricError(SurgstreamError):
    """A metric cannot be computed from the labels or predictions that there are."""


class CheckpointError(SurgstreamError):
    """A checkpoint cannot be resumed from."""


class SaveError(CheckpointError):
    """A checkpoint could not be written. A file system that is full or away may have recovered at the next start."""

    comes_again = False


class MirrorError(SaveError):
    """A run is done and saved, and its last checkpoint is not in its mirror. The next start tries again."""


class DistributedError(SurgstreamError):
    """The processes of a run do not fit together."""

    comes_again = False


class NonFiniteLossError(SurgstreamError):
    """The loss or the gradient norm became infinite or NaN."""


class LossSpikeError(SurgstreamError):
    """The loss leapt, and did not come back."""


class PreflightError(SurgstreamError):
    """The nodes, the store, the network or the model are not fit for a run."""


class NotInTimeError(PreflightError):
    """A check did not end in time, or not all ranks came. Nothing was found that the next start must meet again."""

    comes_again = False


class UnfitNodesError(PreflightError):
    """A few nodes are not fit for a run. The next start may get others."""

    comes_again = False


class EvaluationError(SurgstreamError):
    """Predictions or labels do not fit a task."""


class HubError(SurgstreamError):
    """The Hub refuses an export, or cannot be reached."""

    comes_again = False
