"""What a user can say of any detector network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """What a user can say of any detector network; None: the network's own default.

    Attributes
    ----------
    confidence, nms : least score and most IoU between two boxes of a class, 0 to 1.
    faint : weak boxes too, where no confidence is given.
    tiles : off, auto or COLUMNSxROWS.
    classes : names of the classes to keep.
    device, runtime, precision, threads : see `detectors.runners.graphs.open_runner`.
    """

    confidence: float | None = None
    nms: float | None = None
    faint: bool = False
    tiles: str = "auto"
    classes: Sequence[str] | None = None
    device: str = "auto"
    runtime: str = "auto"
    precision: str = "auto"
    threads: int | None = None
