"""The tracker's own loader in a fresh process: `python -m freeze.proof.reload`, asked by one line of JSON."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Self

import numpy as np

from tracker.core.tensorflow import import_runtime
from tracker.encoder.contract import Contract
from tracker.encoder.runtime import FrozenEncoder
from tracker.errors import TrackerError

SECONDS = 180


class CannotLoadError(Exception):
    """The fresh process gave no features; its text is what the process said last."""


class FreshProcess:
    """Imports TensorFlow while the graph is still being made, then loads the graph; killed where it is not asked."""

    def __init__(self) -> None:
        root = str(Path(__file__).parents[2])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "freeze.proof.reload"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "CUDA_VISIBLE_DEVICES": "-1",
                "TF_CPP_MIN_LOG_LEVEL": "3",
                "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
            },
        )

    def features(self, graph: Path, images: np.ndarray) -> np.ndarray:
        """Features (N,D) of crops (N,H,W,C) uint8, in the channel order that the graph is fed.

        Raises
        ------
        CannotLoadError
            The tracker's loader refuses the graph.
        """
        with tempfile.TemporaryDirectory() as folder:
            crops, result = Path(folder) / "crops.npy", Path(folder) / "features.npy"
            np.save(crops, images)
            asked = json.dumps([str(graph), str(crops), str(result)])
            try:
                told = self._process.communicate(f"{asked}\n", timeout=SECONDS)[1]
            except subprocess.TimeoutExpired:
                raise CannotLoadError(f"no answer within {SECONDS} s") from None
            if self._process.returncode or not result.exists():
                raise CannotLoadError((told.strip().splitlines() or ["no output"])[-1])
            return np.asarray(np.load(result))

    def close(self) -> None:
        """End the process where it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            with suppress(ValueError):  # its pipes were closed by a call that was broken off
                self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def main() -> int:
    """Write the features of the crops of one request; nothing where none comes."""
    try:
        import_runtime()
        asked = sys.stdin.readline()
        if not asked:
            return 0
        graph, crops, features = json.loads(asked)
        contract = Contract.beside(Path(graph))
        with FrozenEncoder.open(graph, device="cpu", precision=contract.precision if contract else "f32") as encoder:
            images = np.load(crops)
            np.save(features, encoder.encode(images[..., ::-1] if encoder.contract.colour_order == "rgb" else images))
    except TrackerError as e:
        print(e, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    gc.disable()  # what it loads stays until it ends
    sys.exit(main())
