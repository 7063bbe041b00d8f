"""How to train: the single truth for the defaults of `python -m freeze train`."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PLACES = ("data", "out", "log", "validate_every", "save_every", "threads")
"""Settings that do not change the weights."""
TEACHER_LEFT = 0.25
"""Share of their weight that a teacher's losses still have at the end."""


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training.

    Attributes
    ----------
    data : Path
        Folder with manifest.toml, or with a folder per identity.
    out : Path
        Prefix of the checkpoint.
    network : str
        A network of ours.
    steps : int
        Optimiser steps in all.
    identities, per_identity : int
        Of a batch.
    rate : float
        Learning rate after `warm_up` steps, kept for the share `flat` of all steps, then lowered along a cosine.
    decay : float
        Decoupled weight decay, times the rate.
    teacher : Path or None
        A network to distil from (OpenVINO IR or ONNX), or None.
    start : Path or None
        A checkpoint of the same network to start from, or None.
    validate_every, save_every : int
        Steps.
    log : Path or None
        Folder for TensorBoard, or None.
    threads : int
        Of TensorFlow within one operation, 0 for its own choice.
    """

    data: Path
    out: Path
    network: str = "striped"
    steps: int = 24000
    identities: int = 16
    per_identity: int = 4
    rate: float = 1e-3
    flat: float = 0.4
    warm_up: int = 200
    decay: float = 0.05
    seed: int = 0
    teacher: Path | None = None
    start: Path | None = None
    validate_every: int = 400
    save_every: int = 200
    log: Path | None = None
    threads: int = 0

    def recipe(self) -> dict[str, Any]:
        """What decides the weights, as JSON holds it; a state of another recipe is not continued."""
        return {k: v.name if isinstance(v, Path) else v for k, v in asdict(self).items() if k not in PLACES}

    def rate_at(self, step: int) -> float:
        """Linear warm-up, flat, then cosine to 0 (Loshchilov and Hutter, 1608.03983, equation 5)."""
        return self.rate * min((step + 1) / self.warm_up if self.warm_up else 1.0, self._falling(step))

    def teacher_at(self, step: int) -> float:
        """Weight of the teacher's losses: it falls with the rate, as what is learnt outgrows the teacher."""
        return TEACHER_LEFT + (1 - TEACHER_LEFT) * self._falling(step)

    def _falling(self, step: int) -> float:
        flat = max(self.warm_up, int(self.flat * self.steps))
        return (1 + math.cos(math.pi * max(0, step - flat) / max(1, self.steps - flat))) / 2

    def beside(self, ending: str) -> Path:
        """A file beside the checkpoint."""
        return self.out.with_name(f"{self.out.name}.{ending}")
