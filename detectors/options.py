"""What a user can say of any detector network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from detectors.runners.base import RunnerOptions


@dataclass(frozen=True, kw_only=True)
class NetworkOptions(RunnerOptions):
    """What a user can say of any detector network; None: the network's own default.

    Attributes
    ----------
    confidence, nms : float, optional
        Least score and most IoU between two boxes of a class, 0 to 1.
    faint : bool
        Weak boxes too, where no confidence is given.
    detail : str
        auto, fast or fine: how large the network sees a frame; auto measures on the first frames.
    input_size : str, optional
        WIDTHxHEIGHT instead, for networks that take any.
    tiles : str
        off, auto or COLUMNSxROWS.
    classes : sequence of str, optional
        Names of the classes to keep.
    """

    confidence: float | None = None
    nms: float | None = None
    faint: bool = False
    detail: str = "auto"
    input_size: str | None = None
    tiles: str = "auto"
    classes: Sequence[str] | None = None
