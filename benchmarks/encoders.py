"""Encoders to compare behind one face: ours, and anchors that OpenVINO runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tracker.core.openvino import import_openvino
from tracker.core.vectors import unit_vectors
from tracker.errors import BackendMissingError, EncoderError

OURS = ("default", "colour")
ANCHORS = {"retail-0288": "person-reidentification-retail-0288.xml", "osnet-0.25": "osnet_x0_25_msmt17.onnx"}
ANCHOR_BATCH = 16


@dataclass
class Encoder:
    """An encoder by name.

    Attributes
    ----------
    encode : Callable[[ndarray], ndarray]
        uint8 (N,H,W,3) BGR crops of `shape` to (N,D) float32 unit vectors.
    shape : tuple[int, int]
        (height, width) that boxes are resized to before, pixels.
    max_cosine_distance : float or None
        The matching threshold it ships with, None where it has none.
    path : Path or None
        Of its frozen graph, None where it is not one of ours.
    """

    name: str
    encode: Callable[[np.ndarray], np.ndarray]
    shape: tuple[int, int]
    max_cosine_distance: float | None = None
    path: Path | None = None


def open_encoder(name: str, data: Path) -> Encoder:
    """One of ours by name, an anchor by name, or a frozen graph by path; all on one thread.

    Raises
    ------
    EncoderError
        No such encoder.
    """
    if name in ANCHORS:
        return _anchor(name, data / "anchors" / ANCHORS[name])
    from freeze.api import frozen_default
    from tracker.encoder.runtime import FrozenEncoder

    if name not in OURS and not name.endswith(".pb"):
        raise EncoderError(f"encoder {name!r}; expected one of {', '.join((*OURS, *ANCHORS))}, or a frozen graph (.pb)")
    encoder = FrozenEncoder.open(frozen_default(name) if name in OURS else Path(name), device="cpu", threads=1)
    return Encoder(name, encoder.encode, encoder.input_shape[:2], encoder.contract.max_cosine_distance, encoder.path)


def _anchor(name: str, path: Path) -> Encoder:
    """A person re-identification network in OpenVINO's or ONNX's format. Raises EncoderError, BackendMissingError."""
    try:
        ov = import_openvino()
    except ImportError as e:
        raise BackendMissingError("the anchors are run by OpenVINO; install it with: pip install openvino") from e
    if not path.exists():
        raise EncoderError(f"{path} is not there; expected the anchor {name}, or leave it out with --encoders")
    core = ov.Core()
    network = core.read_model(path)
    height, width = (int(d.get_length()) for d in list(network.inputs[0].partial_shape)[2:])
    network.reshape([ANCHOR_BATCH, 3, height, width])
    run = core.compile_model(network, "CPU", {"INFERENCE_NUM_THREADS": 1})
    imagenet = path.suffix == ".onnx"  # RGB, ImageNet's mean and deviation; the IR takes BGR in 0..255

    def encode(crops: np.ndarray) -> np.ndarray:
        out = []
        for start in range(0, len(crops), ANCHOR_BATCH):
            part = crops[start : start + ANCHOR_BATCH]
            batch = np.zeros((ANCHOR_BATCH, 3, height, width), np.float32)
            for i, crop in enumerate(part):
                crop = cv2.resize(crop, (width, height)).astype(np.float32)
                if imagenet:
                    crop = (crop[..., ::-1] / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
                batch[i] = crop.transpose(2, 0, 1)
            out.append(run(batch)[0].reshape(ANCHOR_BATCH, -1)[: len(part)].copy())
        features = np.concatenate(out) if out else np.zeros((0, 1), np.float32)
        return unit_vectors(features)

    return Encoder(name, encode, (height, width) if not imagenet else (256, 128))
