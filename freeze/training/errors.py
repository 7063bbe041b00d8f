"""What a training can fail with."""

from __future__ import annotations

from tracker.errors import TrackerError


class TrainError(TrackerError):
    """A training cannot be set up or has gone wrong."""


class TrainDataError(TrainError):
    """The data cannot be trained on."""


class TrainStateError(TrainError):
    """A training cannot be continued, or its files cannot be read or written."""
