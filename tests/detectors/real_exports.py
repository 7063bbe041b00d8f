"""Compares our boxes with the exporter's own, on real exports: run by hand, where ultralytics is installed.

    pip install ultralytics onnx onnxslim onnxruntime
    python -m tests.detectors.real_exports FOLDER [NAME ...]

Each network is made from its YAML with random weights, which are spread so that scores differ, exported into FOLDER
(unless it is there), and run on one picture by ultralytics' predictor and by ours. Boxes must agree to half a pixel.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from detectors.registry import open_detector
from tracker.core.boxes import iou
from tracker.core.types import Frame

CASES = {
    **{name: {} for name in ("yolov3-tiny", "yolov5n", "yolov6n", "yolov8n", "yolov9t", "yolov10n", "yolo11n")},
    **{name: {} for name in ("yolo12n", "yolo26n", "rtdetr-l", "yolov8n-seg", "yolo11n-pose", "yolo11n-obb")},
    **{name: {} for name in ("yolo26n-seg", "yolo26n-pose", "yolo26n-obb")},
    **{f"{name}@nms=1": {"nms": True} for name in ("yolov8n", "yolo11n", "yolo11n-seg", "yolo11n-pose", "yolo11n-obb")},
    **{f"{name}@end2end=1": {"end2end": True} for name in ("yolov10n", "yolo26n", "yolo26n-seg", "yolo26n-obb")},
    **{f"{name}@dynamic=1": {"dynamic": True} for name in ("yolov8n", "yolo26n")},
    "yolo11n@dynamic=1,nms=1": {"dynamic": True, "nms": True},
    "yolo11n@half=1": {"half": True},
    "yolo11n@int8=1": {},
    "yolov8n@batch=2": {"batch": 2},
    "yolov8n@imgsz=384x640": {"imgsz": (384, 640)},
}
"""What is exported, and how."""
SIDE, LEAST, OVERLAP = 320, 0.05, 0.7


def export(name: str, options: dict[str, object], target: Path) -> None:
    """Make a network of random weights whose scores and boxes differ, and export it."""
    import torch
    from ultralytics import RTDETR, YOLO

    torch.manual_seed(0)
    base = name.partition("@")[0]
    network = RTDETR(f"{base}.yaml") if "detr" in base else YOLO(f"{base}.yaml")
    with torch.no_grad():
        for part in network.model.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.running_var.uniform_(0.1, 0.4)
                part.running_mean.normal_(0, 0.05)
        for attribute in ("cv3", "one2one_cv3"):
            for branch in getattr(network.model.model[-1], attribute, None) or []:
                last = [m for m in branch.modules() if isinstance(m, torch.nn.Conv2d)][-1]
                last.weight.mul_(30)
                last.bias.add_(6)
    made = network.export(format="onnx", opset=17, **{"imgsz": SIDE, **options})
    shutil.move(made, target)


def quantise(source: Path, target: Path) -> None:
    """A file's copy in 8-bit integers, as ONNX Runtime makes it without footage."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(source, target, weight_type=QuantType.QUInt8)


def picture() -> np.ndarray:
    """Something with shapes of several sizes, 480x300."""
    rng = np.random.default_rng(1)
    image = cv2.GaussianBlur(rng.integers(0, 256, (300, 480, 3), np.uint8), (0, 0), 6)
    for _ in range(30):
        (x, y), (w, h) = rng.integers(0, 400, 2), rng.integers(10, 120, 2)
        colour = tuple(int(v) for v in rng.integers(0, 256, 3))
        cv2.rectangle(image, (int(x), int(y)), (int(x + w), int(y + h)), colour, -1)
    return image


def theirs(path: Path, name: str, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Corners by ultralytics' own post-processing of the file."""
    from ultralytics import RTDETR, YOLO

    network = RTDETR(path) if "detr" in name else YOLO(path)
    batch = 2 if "batch=2" in name else 1
    found = network.predict(
        [image] * batch, imgsz=size[::-1], conf=LEAST, iou=OVERLAP, max_det=300, verbose=False, device="cpu", rect=False
    )[0]
    boxes = found.obb if found.obb is not None else found.boxes
    if found.obb is None:
        return boxes.xyxy.numpy()
    corners = boxes.xyxyxyxy.numpy().reshape(-1, 4, 2)
    return np.hstack([corners.min(axis=1), corners.max(axis=1)])


def compare(path: Path, name: str, image: np.ndarray) -> str:
    """One line: how many boxes agree, and by how much the farthest differs."""
    frame = Frame(1, 0.0, image, (image.shape[1], image.shape[0]))
    size = f"{SIDE}x{SIDE}" if "dynamic" in name else None
    ours = open_detector(
        path,
        confidence=LEAST,
        nms=OVERLAP,
        tiles="off",
        classes=["all"],
        device="cpu",
        precision="f32",
        input_size=size,
    )
    found = ours(frame)
    start = time.process_time()
    for _ in range(5):
        ours(frame)
    ms = 200 * (time.process_time() - start)
    view = ours.view(frame.size)
    boxes = theirs(path, name, image, view.size)
    boxes = np.clip(boxes, 0, np.tile(frame.size, 2))
    overlap = iou(boxes, found.xyxy) if len(found) else np.zeros((len(boxes), 1))
    best = overlap.argmax(axis=1)
    off = np.abs(found.xyxy[best] - boxes).max(axis=1) if len(found) and len(boxes) else np.zeros(0)
    same = int((off < 0.5).sum())
    middle = np.median(off) if len(off) else 0.0
    return (
        f"{len(boxes):4d} theirs {len(found):4d} ours {same:4d} within 0.5 px, median {middle:.3f}  {ms:6.1f} ms  "
        f"{ours.runtime}"
    )


def main() -> None:
    """Export what is missing and compare each."""
    folder, *wanted = sys.argv[1:]
    image = picture()
    os.makedirs(folder, exist_ok=True)
    for name, options in CASES.items():
        if wanted and not any(w in name for w in wanted):
            continue
        path = Path(folder) / f"{name.replace('@', '_').replace(',', '_')}.onnx"
        try:
            if not path.exists():
                if "int8" in name:
                    quantise(Path(folder) / f"{name.partition('@')[0]}.onnx", path)
                else:
                    export(name, options, path)
            print(f"{name:28} {compare(path, name, image)}", flush=True)
        except Exception as error:  # one that fails must not hide the others
            print(f"{name:28} FAILS {type(error).__name__}: {str(error)[:300]}", flush=True)


if __name__ == "__main__":
    main()
