"""The project's errors: one tree, and every message says what was met, what was expected and what to do."""

import re


class TrackerError(Exception):
    """Base of all errors a user can cause or mend; the command line prints its text as one line and exits 1."""


class SourceError(TrackerError):
    """A video, camera, image folder or sequence cannot be read."""


class LostError(SourceError):
    """A live source was lost and did not come back; everything before was tracked."""


class DetectionsError(TrackerError, ValueError):
    """Boxes, scores or class ids that no detector may return, or a detections file with a broken line."""


class DetectorError(TrackerError):
    """A detector's model cannot be loaded or run."""


class EncoderError(TrackerError):
    """An encoder graph or its contract cannot be loaded or run."""


class DeviceError(TrackerError):
    """The device asked for is not there or cannot be used."""


class BackendMissingError(TrackerError):
    """A package or program that a part needs is not installed; the message names the command that installs it."""


class OutputError(TrackerError):
    """Results cannot be written."""


class ConfigError(TrackerError, ValueError):
    """A configuration key is unknown or a value is out of range."""


def first_line(error: BaseException) -> str:
    """What a library's error has to say, cut to one line; without the system's number where it gives its reason."""
    if isinstance(inside := getattr(error, "reason", None), OSError):  # of urllib
        error = inside
    lines = re.sub(r"^\[Errno -?\d+\] ", "", str(error)).splitlines()
    return next((line.strip() for line in lines if line.strip()), type(error).__name__)[:300]
