"""What a user can say of any detector network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """What a user can say of any detector network; None: the network's own default.

    Attributes
    ----------
    confidence, nms : float or None
        Least score and most IoU between two boxes of a class, 0 to 1.
    faint : bool
        Weak boxes too, where no confidence is given.
    tiles : str
        Off, auto or COLUMNSxROWS.
    classes : Sequence[str] or None
        Names of the classes to keep.
    device, runtime, precision, threads : int or str or None
        See `detectors.runners.graphs.open_runner`.
    unsafe : bool
        Run TensorFlow graphs with operations beyond inference, which may read and write files.
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
    unsafe: bool = False
