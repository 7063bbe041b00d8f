"""Compares our boxes with the exporter's own, on real exports: run by hand, where the exporters are installed.

    pip install ultralytics onnx onnxslim onnxruntime torchvision transformers pixeltable-yolox rfdetr
    python -m tests.detectors.real_exports FOLDER [NAME ...]

Each network is made with random weights, brought to scores that differ, and exported into FOLDER (unless it is there).
One picture is looked at by the exporter's own way before and after the network, with ONNX Runtime between them, and by
ours: in ONNX Runtime, where boxes must agree to half a pixel, and in OpenVINO, whose arithmetic differs.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from detectors.onnx import letterbox
from detectors.registry import open_detector
from tracker.core.boxes import iou
from tracker.core.types import Frame
from tracker.errors import DetectorError

SIDE, LEAST, OVERLAP = 320, 0.25, 0.7


@dataclass(frozen=True)
class Case:
    """How a network is exported, and its exporter's boxes (N,4) of a picture in the picture's pixels."""

    export: Callable[[str, dict[str, Any], Path], None]
    theirs: Callable[[Path, str, np.ndarray, tuple[int, int]], np.ndarray]
    options: dict[str, Any] = field(default_factory=dict)


def picture() -> np.ndarray:
    """Something with shapes of several sizes, 480x300."""
    rng = np.random.default_rng(1)
    image = cv2.GaussianBlur(rng.integers(0, 256, (300, 480, 3), np.uint8), (0, 0), 6)
    for _ in range(30):
        (x, y), (w, h) = rng.integers(0, 400, 2), rng.integers(10, 120, 2)
        colour = tuple(int(v) for v in rng.integers(0, 256, 3))
        cv2.rectangle(image, (int(x), int(y)), (int(x + w), int(y + h)), colour, -1)
    return image


def input_of(image: np.ndarray, *, stretched: bool) -> np.ndarray:
    """The picture as RGB (1,3,SIDE,SIDE) from 0 to 1."""
    size = (SIDE, SIDE)
    shown = cv2.resize(image, size) if stretched else letterbox(image, size, centred=True)[0]
    return np.ascontiguousarray(shown[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32) / 255)


def spread(layers: Sequence[Any], look: Callable[[], object], middle: float = -5.0, width: float = 1.5) -> None:
    """Bring what the last layers of scores answer to one mean and deviation: random ones are all alike or all sure."""
    import torch

    answers: dict[Any, Any] = {}
    hooks = [x.register_forward_hook(lambda layer, _, out: answers.__setitem__(layer, out.detach())) for x in layers]
    with torch.no_grad():
        look()
        for layer, answer in answers.items():
            gain = width / max(float(answer.std()), 1e-6)
            layer.weight.mul_(gain)
            layer.bias.sub_(answer.mean()).mul_(gain).add_(middle)
    for hook in hooks:
        hook.remove()


def session_outputs(path: Path, given: dict[str, np.ndarray]) -> list[np.ndarray]:
    """What ONNX Runtime makes of inputs."""
    import onnxruntime as ort

    return list(ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, given))


# ---- ultralytics --------------------------------------------------------------------------------


def export_yolo(name: str, options: dict[str, Any], target: Path) -> None:
    """From a YAML; `int8` is the float32 file's copy in 8-bit integers, as ONNX Runtime makes it without footage."""
    import torch
    from ultralytics import RTDETR, YOLO

    if "int8" in name:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(target.parent / f"{name.partition('@')[0]}.onnx", target, weight_type=QuantType.QUInt8)
        return
    torch.manual_seed(0)
    base = name.partition("@")[0]
    network = RTDETR(f"{base}.yaml") if "detr" in base else YOLO(f"{base}.yaml")
    with torch.no_grad():
        for part in network.model.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.running_var.uniform_(0.1, 0.4)
                part.running_mean.normal_(0, 0.05)
    network.model.eval()
    given = torch.from_numpy(input_of(picture(), stretched="detr" in base))
    head = network.model.model[-1]
    branches = [b for a in ("cv3", "one2one_cv3") for b in getattr(head, a, None) or []]
    last = [[m for m in b.modules() if isinstance(m, torch.nn.Conv2d)][-1] for b in branches]
    if "detr" in base:
        last = [head.dec_score_head[-1]]
    spread(last, lambda: network.model(given))
    shutil.move(network.export(format="onnx", opset=17, **{"imgsz": SIDE, **options}), target)


def boxes_of_yolo(path: Path, name: str, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Corners by ultralytics' own predictor of the file."""
    from ultralytics import RTDETR, YOLO

    network = RTDETR(path) if "detr" in name else YOLO(path)
    batch = 2 if "batch=2" in name else 1
    found = network.predict(
        [image] * batch, imgsz=size[::-1], conf=LEAST, iou=OVERLAP, max_det=300, verbose=False, device="cpu", rect=False
    )[0]
    boxes = found.obb if found.obb is not None else found.boxes
    if found.obb is None:
        return np.asarray(boxes.xyxy)
    corners = np.asarray(boxes.xyxyxyxy).reshape(-1, 4, 2)
    return np.hstack([corners.min(axis=1), corners.max(axis=1)])


# ---- YOLOX --------------------------------------------------------------------------------------


def export_yolox(name: str, options: dict[str, Any], target: Path) -> None:
    """As YOLOX's `tools/export_onnx.py` does: no names inside, and by default without its last step of decoding."""
    import torch
    from yolox.config import YoloxConfig

    torch.manual_seed(0)
    network = YoloxConfig.get_named_config(name.partition("@")[0]).get_model().eval()
    given = torch.from_numpy(input_of(picture(), stretched=False)) * 255
    spread([*network.head.cls_preds, *network.head.obj_preds], lambda: network(given), middle=0.5)
    network.head.decode_in_inference = options.get("decoded", False)
    torch.onnx.export(
        network, (given,), str(target), input_names=["images"], output_names=["output"], opset_version=17, dynamo=False
    )


def boxes_of_yolox(path: Path, name: str, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Corners by YOLOX's `preproc`, its head's decoding and `postprocess`."""
    import torch
    from yolox.data.data_augment import preproc
    from yolox.models.yolo_head import YoloxHead
    from yolox.utils import postprocess

    given, ratio = preproc(image, (SIDE, SIDE))
    rows = torch.from_numpy(session_outputs(path, {"images": given[None]})[0])
    if "decoded" not in name:
        head = YoloxHead(80)
        head.hw = [(SIDE // stride, SIDE // stride) for stride in head.strides]
        rows = head.decode_outputs(rows, rows.dtype)
    found = postprocess(rows, 80, LEAST, OVERLAP)[0]
    return found[:, :4].numpy() / ratio


# ---- torchvision --------------------------------------------------------------------------------


def export_torchvision(name: str, options: dict[str, Any], target: Path) -> None:
    """A detection model by its name in torchvision, with everything inside."""
    import torch
    import torchvision

    torch.manual_seed(0)
    network = torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=91).eval()
    given = torch.from_numpy(input_of(picture(), stretched=False)[0])
    last = {
        "cls_score": lambda m: isinstance(m, torch.nn.Linear),
        "cls_logits": lambda m: isinstance(m, torch.nn.Conv2d),
        "classification_head": lambda m: isinstance(m, torch.nn.Conv2d) and m.kernel_size == (1, 1) and m.groups == 1,
    }
    layers = [
        m
        for n, m in network.named_modules()
        if any(k in n and test(m) for k, test in last.items()) and m.bias is not None
    ]
    spread(layers, lambda: network([given]), middle=0.0, width=4.0)
    torch.onnx.export(
        network, ([given],), str(target), input_names=["image"], output_names=["boxes", "scores", "labels"][: 3]
        if not name.startswith(("faster", "mask")) else ["boxes", "labels", "scores"], opset_version=17, dynamo=False,
    )  # fmt: skip


def boxes_of_torchvision(path: Path, name: str, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Corners as the file gives them for the picture framed in its input."""
    framed, scale, offset = letterbox(image, (SIDE, SIDE), centred=True)
    given = np.ascontiguousarray(framed[..., ::-1].transpose(2, 0, 1).astype(np.float32) / 255)
    outputs = session_outputs(path, {"image": given})
    boxes = next(o for o in outputs if o.ndim == 2)
    scores = next(o for o in outputs if o.ndim == 1 and o.dtype == np.float32)
    return (boxes[scores >= LEAST] - np.tile(offset, 2)) / np.tile(scale, 2)


# ---- transformers -------------------------------------------------------------------------------


def transformer(name: str) -> Any:
    """A network of `transformers` with random weights."""
    import torch
    import transformers

    torch.manual_seed(0)
    small = {"num_labels": 80, "num_queries": 100, "anchor_image_size": None}
    kind = {"rt-detr": "RTDetr", "rt-detr-v2": "RTDetrV2", "d-fine": "DFine"}[name]
    config = getattr(transformers, f"{kind}Config")(**small)
    return getattr(transformers, f"{kind}ForObjectDetection")(config).eval()


def export_transformer(name: str, options: dict[str, Any], target: Path) -> None:
    """Logits and boxes as shares, as `optimum` names them."""
    import torch

    network = transformer(name).requires_grad_(False)
    given = torch.from_numpy(input_of(picture(), stretched=True))
    embeds = [m for n, m in network.named_modules() if "class_embed" in n and isinstance(m, torch.nn.Linear)]
    spread(embeds, lambda: network(given))

    class Bare(torch.nn.Module):
        def forward(self, pixel_values: Any) -> Any:
            found = network(pixel_values)
            return found.logits, found.pred_boxes

    torch.onnx.export(
        Bare(), (given,), str(target), input_names=["pixel_values"], output_names=["logits", "pred_boxes"],
        opset_version=17, dynamo=False,
    )  # fmt: skip


def boxes_of_transformer(path: Path, name: str, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Corners by `post_process_object_detection`; a box found as two classes once."""
    import torch
    from transformers import RTDetrImageProcessor

    logits, boxes = session_outputs(path, {"pixel_values": input_of(image, stretched=True)})

    class Outputs:
        pass

    given = Outputs()
    given.logits, given.pred_boxes = torch.from_numpy(logits), torch.from_numpy(boxes)
    found = RTDetrImageProcessor().post_process_object_detection(
        given, threshold=LEAST, target_sizes=[image.shape[:2]], use_focal_loss=True
    )[0]
    return np.unique(found["boxes"].numpy(), axis=0)


# ---- RF-DETR ------------------------------------------------------------------------------------


def export_rfdetr(name: str, options: dict[str, Any], target: Path) -> None:
    """RF-DETR's nano network without pretrained weights, by its own exporter."""
    import torch
    from rfdetr import RFDETRNano

    torch.manual_seed(0)
    network = RFDETRNano(pretrain_weights=None)
    made = network.export(output_dir=str(target.parent / "rfdetr"), simplify=False)
    shutil.move(made or next((target.parent / "rfdetr").glob("*.onnx")), target)


def boxes_of_rfdetr(path: Path, name: str, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Corners by RF-DETR's `PostProcess`; a box found as two classes once."""
    import torch
    from rfdetr.models.postprocess import PostProcess

    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    shown = (cv2.resize(image, size)[..., ::-1] / 255.0 - mean) / deviation
    boxes, logits = session_outputs(path, {"input": shown.transpose(2, 0, 1)[None].astype(np.float32)})[:2]
    found = PostProcess()(
        {"pred_logits": torch.from_numpy(logits), "pred_boxes": torch.from_numpy(boxes)},
        torch.tensor([image.shape[:2]]),
    )[0]
    return np.unique(found["boxes"][found["scores"] >= LEAST].numpy(), axis=0)


def _yolo(**options: Any) -> Case:
    return Case(export_yolo, boxes_of_yolo, options)


CASES = {
    **{name: _yolo() for name in ("yolov3-tiny", "yolov5n", "yolov6n", "yolov8n", "yolov9t", "yolov10n", "yolo11n")},
    **{name: _yolo() for name in ("yolo12n", "yolo26n", "rtdetr-l", "yolov8n-seg", "yolo11n-pose", "yolo11n-obb")},
    **{name: _yolo() for name in ("yolo26n-seg", "yolo26n-pose", "yolo26n-obb")},
    **{f"{name}@nms=1": _yolo(nms=True) for name in ("yolov8n", "yolo11n", "yolo11n-pose", "yolo11n-obb")},
    "yolo11n-seg@nms=1": _yolo(nms=True),
    **{f"{name}@end2end=1": _yolo(end2end=True) for name in ("yolov10n", "yolo26n", "yolo26n-seg", "yolo26n-obb")},
    **{f"{name}@dynamic=1": _yolo(dynamic=True) for name in ("yolov8n", "yolo26n")},
    "yolo11n@dynamic=1,nms=1": _yolo(dynamic=True, nms=True),
    "yolo11n@half=1": _yolo(half=True),
    "yolo11n@int8=1": _yolo(),
    "yolov8n@batch=2": _yolo(batch=2),
    "yolov8n@imgsz=384x640": _yolo(imgsz=(384, 640)),
    "yolox-nano": Case(export_yolox, boxes_of_yolox),
    "yolox-nano@decoded=1": Case(export_yolox, boxes_of_yolox, {"decoded": True}),
    **{
        name: Case(export_torchvision, boxes_of_torchvision)
        for name in (
            "fasterrcnn_mobilenet_v3_large_320_fpn", "retinanet_resnet50_fpn", "ssdlite320_mobilenet_v3_large",
            "ssd300_vgg16", "fcos_resnet50_fpn",
        )
    },
    **{name: Case(export_transformer, boxes_of_transformer) for name in ("rt-detr", "rt-detr-v2", "d-fine")},
    "rf-detr-nano": Case(export_rfdetr, boxes_of_rfdetr),
}  # fmt: skip
"""What is exported, and how."""


def compare(path: Path, name: str, image: np.ndarray) -> str:
    """One line: how many of their boxes are ours in each runtime, and by how much the farthest differs."""
    frame = Frame(1, 0.0, image, (image.shape[1], image.shape[0]))
    side = f"{SIDE}x{SIDE}" if "dynamic" in name else None
    told, size = [], (SIDE, SIDE)
    found: dict[str, np.ndarray] = {}
    for runtime in ("onnxruntime", "openvino"):
        try:
            ours = open_detector(
                path, confidence=LEAST, nms=OVERLAP, tiles="off", classes=["all"], device="cpu", precision="f32",
                input_size=side, runtime=runtime,
            )  # fmt: skip
        except DetectorError as error:
            told.append(f"{runtime}: {error}")
            continue
        found[runtime] = ours(frame).xyxy
        size = ours.view(frame.size).size or size
    boxes = np.clip(CASES[name].theirs(path, name, image, size), 0, np.tile(frame.size, 2))
    boxes = boxes[(boxes[:, 2:] - boxes[:, :2]).min(axis=1) > 0.01]  # the rest stands in the border alone
    for runtime, xyxy in found.items():
        off = np.full(len(boxes), np.inf)
        if len(xyxy) and len(boxes):
            off = np.abs(xyxy[iou(boxes, xyxy).argmax(axis=1)] - boxes).max(axis=1)
        middle = np.median(off) if len(off) else 0.0
        told.append(f"{runtime} {len(xyxy):4d}, {int((off < 0.5).sum()):4d} alike, median {middle:.3f}")
    return f"{len(boxes):4d} theirs; " + "; ".join(told)


def main() -> None:
    """Export what is missing and compare each."""
    folder, *wanted = sys.argv[1:]
    image = picture()
    os.makedirs(folder, exist_ok=True)
    for name, case in CASES.items():
        if wanted and not any(w in name for w in wanted):
            continue
        path = Path(folder) / f"{name.replace('@', '_').replace(',', '_')}.onnx"
        try:
            if not path.exists():
                case.export(name, case.options, path)
            print(f"{name:28} {compare(path, name, image)}", flush=True)
        except Exception as error:  # one that fails must not hide the others
            print(f"{name:28} FAILS {type(error).__name__}: {str(error)[:300]}", flush=True)


if __name__ == "__main__":
    main()
