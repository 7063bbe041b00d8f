"""The tracker's own loader in a fresh process: `python -m freeze.proof.reload FILE.pb CROPS.npy FEATURES.npy`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from tracker.encoder.contract import Contract
from tracker.encoder.runtime import FrozenEncoder
from tracker.errors import TrackerError


def main(argv: list[str]) -> int:
    """Features of crops (N, H, W, C) uint8, in the channel order that the graph is fed, through `FrozenEncoder`."""
    graph, crops, features = argv
    try:
        contract = Contract.beside(Path(graph))
        with FrozenEncoder.open(graph, device="cpu", precision=contract.precision if contract else "f32") as encoder:
            images = np.load(crops)
            np.save(features, encoder.encode(images[..., ::-1] if encoder.contract.colour_order == "rgb" else images))
    except TrackerError as e:
        print(e, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
