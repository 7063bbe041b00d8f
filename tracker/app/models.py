"""Networks kept open from one session to the next: many videos, one load."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.core.types import Detections, Frame
from tracker.core.wrapper import DetectorWrapper
from tracker.errors import TrackerError

if TYPE_CHECKING:
    from detectors.options import NetworkOptions
    from detectors.registry import Request
    from tracker.core.interfaces import Detector
    from tracker.encoder.runtime import FrozenEncoder


class Models:
    """Opens detectors and encoders once; `close` gives them back. For one session at a time."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._detectors: dict[tuple[str, NetworkOptions], Detector] = {}
        self._encoders: dict[tuple[Path, str], FrozenEncoder] = {}

    def detector(self, request: Request) -> Detector:
        """A detector as `detectors.registry` opens it; one that is made for its source's frames is not kept."""
        from detectors.auto import open_auto
        from detectors.registry import family_of

        family = family_of(request.spec)
        if family.key == "auto":
            return open_auto(request, self.detector)
        if family.needs_frames or family.recorded:
            return family.open(request)
        key = (request.spec, request.options)
        if key not in self._detectors:
            self._detectors[key] = family.open(request)
            self._open.callback(self._detectors[key].close)
        return _Lent(self._detectors[key])

    def encoder(self, path: Path, device: str) -> FrozenEncoder:
        """A frozen encoder; the session that asked for it must not close it."""
        from tracker.encoder.runtime import FrozenEncoder

        if (path, device) not in self._encoders:
            self._encoders[path, device] = FrozenEncoder.open(path, device=device)
            self._open.callback(self._encoders[path, device].close)
        return self._encoders[path, device]

    def close(self) -> None:
        """Close everything that was opened."""
        with suppress(TrackerError):
            self._open.close()


class _Lent(DetectorWrapper):
    """A detector that stays open when its borrower closes it; each borrower is told its own warnings alone."""

    def __init__(self, detector: Detector) -> None:
        detector.warnings.clear()
        super().__init__(detector)
        self.why, self._tiled = "", detector.tiled

    def __call__(self, frame: Frame) -> Detections | None:
        return self._inside(frame)

    def close(self) -> None:
        """Give it back as it was lent; the lender closes it."""
        self.tiled = self._tiled
