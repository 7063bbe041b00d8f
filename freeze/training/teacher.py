"""Features of a teacher network for every crop, computed once by OpenVINO and kept beside the training."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np

from freeze.training.errors import TrainError, TrainStateError
from freeze.training.files import load_state, save_state
from tracker.core.openvino import import_openvino
from tracker.core.vectors import unit_vectors

BATCH = 32


def teacher_features(crops: np.ndarray, scene: np.ndarray, model: Path, cache: Path) -> np.ndarray:
    """Centred unit features, the mean of a crop and its mirror image.

    Parameters
    ----------
    crops : (N,H,W,3) ndarray of uint8
        BGR.
    scene : (N,) ndarray of int
        Features are centred within each, since a scene's own mean tells nobody apart.
    model : Path
        OpenVINO IR (.xml) or ONNX that takes (B,3,H,W) float32 BGR in 0..255 and gives (B,T).
    cache : Path
        .npz to keep them in; used again for the same crops and model.

    Returns
    -------
    (N,T) ndarray of float32
        Unit vectors.
    """
    digest = hashlib.sha256(crops.tobytes())
    digest.update(scene.tobytes())
    digest.update(model.read_bytes())
    key = digest.hexdigest()
    if cache.exists():
        try:
            arrays, facts = load_state(cache)
            if facts.get("key") == key:
                return np.asarray(arrays["features"])
        except TrainStateError:
            cache.unlink()
    raw = _run(crops, model) + _run(crops[:, :, ::-1], model)
    raw = unit_vectors(raw)
    features = raw.copy()
    for where in np.unique(scene):
        features[scene == where] -= raw[scene == where].mean(0)
    features = unit_vectors(features).astype(np.float32)
    save_state(cache, {"features": features}, {"key": key, "model": model.name})
    return features


def _run(crops: np.ndarray, model: Path) -> np.ndarray:
    try:
        ov = import_openvino()
    except ImportError as e:
        raise TrainError("a teacher is run by OpenVINO, which is not installed: pip install openvino") from e

    core = ov.Core()
    network = core.read_model(model)
    height, width = (int(d.get_length()) for d in list(network.inputs[0].partial_shape)[2:])
    network.reshape([BATCH, 3, height, width])
    run = core.compile_model(network, "CPU")
    features = []
    for start in range(0, len(crops), BATCH):
        part = crops[start : start + BATCH]
        batch = np.zeros((BATCH, 3, height, width), np.float32)
        for i, crop in enumerate(part):
            batch[i] = cv2.resize(np.ascontiguousarray(crop), (width, height)).transpose(2, 0, 1)
        features.append(run(batch)[0].reshape(BATCH, -1)[: len(part)].copy())
    return np.concatenate(features)
