"""What is fuzzed: for every parser, small valid files and a way to read them as the program does."""

from __future__ import annotations

import io
import json
import sys
import tarfile
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tracker.core.types import Frame, Tracks
from tracker.errors import EncoderError, SourceError, TrackerError

IMAGE_SIZE = (64, 48)


@dataclass(frozen=True)
class Target:
    """A parser.

    Attributes
    ----------
    name : str
        For `--only` and reports.
    files : callable
        Gives the seeds: name of a file and its bytes.
    read : callable
        Reads a damaged file as the program does; raises TrackerError where that is no use.
    weight : float
        How often it is drawn.
    """

    name: str
    files: Callable[[], list[tuple[str, bytes]]]
    read: Callable[[Path], None]
    weight: float = 10.0


RUN = (
    "tracks.csv",
    "summary.json",
    "crossings.csv",
    "counts.csv",
    "visits.csv",
    "objects.csv",
    "flows.csv",
    "scene.toml",
)
"""What a run leaves, and what is read afterwards."""


def quiet(call: Callable[[], Any]) -> Any:
    """A command's result, its words kept from the terminal; a traceback in them is a failure."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = call()
    for words in ("Traceback", "fault of the program"):
        if words in err.getvalue() + out.getvalue():
            raise AssertionError(f"{words}: {err.getvalue()[-500:]}")
    return code


# ---- text ------------------------------------------------------------------------------------------


def detections() -> list[tuple[str, bytes]]:
    """Every form that is read."""
    rows = [(f, 10 + f, 8, 20, 24, 0.9) for f in range(1, 6)]
    mot = "".join(f"{f},-1,{x},{y},{w},{h},{s},-1,-1,-1\n" for f, x, y, w, h, s in rows)
    csv = "frame,class,conf,x,y,w,h\n" + "".join(f'{f},"car",{s},{x},{y},{w},{h}\n' for f, x, y, w, h, s in rows)
    kitti = "".join(f"{f} 0 Car 0 0 0 {x} {y} {x + w} {y + h} 1 1 1 1 1 1 1 {s}\n" for f, x, y, w, h, s in rows)
    coco = [{"image_id": f, "category_id": 1, "bbox": [x, y, w, h], "score": s} for f, x, y, w, h, s in rows]
    whole = {
        "images": [{"id": 1, "file_name": "1.jpg"}],
        "annotations": coco[:1],
        "categories": [{"id": 1, "name": "a"}],
    }
    return [("a.txt", mot.encode()), ("b.csv", csv.encode()), ("c.txt", kitti.encode()),
            ("d.json", json.dumps(coco).encode()), ("e.json", json.dumps(whole).encode())]  # fmt: skip


def read_detections(path: Path) -> None:
    from detectors.registry import open_detector

    detector = open_detector(path, nms=0.5)
    for index in range(1, 7):
        detector(Frame(index, index / 25, None, IMAGE_SIZE))
    str(detector.warnings)


def read_labels(path: Path) -> None:
    folder = path.parent / "labels"
    folder.mkdir(exist_ok=True)
    path.replace(folder / "clip_1.txt")
    read_detections(folder)


SEQINFO = b"[Sequence]\nname=S\nimDir=img1\nframeRate=25\nseqLength=3\nimWidth=64\nimHeight=48\nimExt=.jpg\n"


def read_sequence(path: Path) -> None:
    from tracker.app.outputs import claim_folder
    from tracker.video.sources import open_source

    folder = path.parent / "seq"
    folder.mkdir(exist_ok=True)
    path.replace(folder / "seqinfo.ini")
    with open_source(str(folder)) as source:
        for number, _ in enumerate(source):
            if number > 5:
                break
        claim_folder(path.parent / "out" / source.info.name, source.info.name, overwrite=True)


CONFIG = b"""[run]
sources = ["clip.mp4", "rtsp://u:p@h/c"]
detector = "motion"
confidence = 0.4
max_frames = 30
[tracker]
max_age = 30
budget = 25
[freeze]
image-shape = "128x64x3"
"""


def read_config(path: Path) -> None:
    from tracker.app.options import build_config

    config = build_config({"config": path})
    config.to_toml()


def scenes() -> list[tuple[str, bytes]]:
    """A scene with a line, a zone and a ground, as the program writes it."""
    from tracker.answers.scene import Scene, parse_ground, parse_line, parse_zone, to_toml

    size = (640, 480)
    line, zone = parse_line("in=10,240,600,240", size), parse_zone("lane=10,10,600,10,600,400", size)
    ground = parse_ground("8x30=10,470,630,470,400,200,200,200", size)
    return [("scene.toml", to_toml(Scene(lines=(line,), zones=(zone,), ground=ground)).encode())]


def read_scene_file(path: Path) -> None:
    from tracker.answers.scene import read_scene, to_toml

    to_toml(read_scene(path))


def read_address(path: Path) -> None:
    from tracker.core.address import Address, shown
    from tracker.core.files import path_component

    text = path.read_bytes().decode("utf-8", "surrogateescape")
    shown(text).encode()
    path_component(text).encode()
    if (address := Address.parse(text)) is not None:
        address.name()
        try:
            address.connect()
        except SourceError:
            return


def read_contract(path: Path) -> None:
    from tracker.encoder.contract import Contract, ContractError

    try:
        Contract.from_json(path.read_bytes().decode("utf-8", "replace"), path.name).to_json()
    except ContractError as e:
        raise EncoderError(str(e)) from None


def contracts() -> list[tuple[str, bytes]]:
    from tracker.encoder.contract import Contract

    return [("encoder.json", Contract("0" * 64, (128, 64, 3), 128).to_json().encode())]


@cache
def run_files() -> list[tuple[str, bytes]]:
    """What a small run with a line and a zone leaves."""
    import cv2

    from tracker.app.cli import main

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for index in range(1, 16):
            cv2.imwrite(str(folder / f"{index}.png"), picture(index))
        rows = (f"{f},-1,{5 + f},10,20,20,0.9,-1,-1,-1\n" for f in range(1, 16))
        (folder / "det.txt").write_text("".join(rows))
        scene = [
            "--line",
            "gate=24,0,24,48",
            "--zone",
            "all=1,1,60,1,60,46,1,46",
            "--ground",
            "4x4=1,47,63,47,40,20,24,20",
        ]
        given = [name, "--detector", f"{name}/det.txt", "--encoder", "none", "--output", f"{name}/out"]
        code = quiet(lambda: main(["run", *given, "--start-time", "2026-11-27T08:00", *scene]))
        if code:
            raise AssertionError(f"the run that is damaged ended with {code}")
        return [(file, (folder / "out" / file).read_bytes()) for file in RUN if (folder / "out" / file).exists()]


def _beside(path: Path, files: list[tuple[str, bytes]]) -> Path:
    """The folder of a damaged file, the others of a set beside it."""
    for name, data in files:
        if name != path.name:
            (path.parent / name).write_bytes(data)
    return path.parent


def read_run(path: Path) -> None:
    """A run's folder with one damaged file: as a report, counted again, for other tools, as tables."""
    from tracker.app.cli import main
    from tracker.app.results import load

    folder = str(_beside(path, run_files()))
    codes = [quiet(lambda more=more: main(more)) for more in (
        ["report", folder], *(["export", folder, "--format", f] for f in ("coco", "cvat", "geojson")), ["count", folder]
    )]  # fmt: skip
    try:
        results = load(folder)
        str((results.tracks, results.crossings, results.counts, results.summary))
    except SourceError:
        codes.append(1)
    if any(codes):
        raise SourceError("refused")


def read_mot(path: Path) -> None:
    from tracker.core.mot import read_rows

    read_rows(path, 10)


def read_text(path: Path) -> None:
    """Words that name moments, lengths and places, from command lines, files' names and settings."""
    from tracker.answers.clock import parse_interval, parse_start, start_in_name
    from tracker.serve.publish import open_target
    from tracker.serve.server import parse_address

    refused = 0
    for line in path.read_bytes().decode("utf-8", "replace").splitlines():
        kind, _, text = line.partition(" ")
        start_in_name(text)
        calls = {"start": parse_start, "every": parse_interval, "serve": parse_address,
                 "publish": lambda t: None if t.startswith("jsonl") else open_target(t, ())}  # fmt: skip
        try:
            calls.get(kind, start_in_name)(text)
        except TrackerError:
            refused += 1
    if refused:
        raise SourceError("refused")


TEXT = b"""start 2026-11-27T08:00 Europe/Paris
every 15min
serve [::1]:8080
publish mqtt://user:secret@host:1883/a/b
name VID_20261127_080000.mp4
"""


@cache
def outboxes() -> list[tuple[str, bytes]]:
    """Events that wait, as an interrupted run leaves them."""
    from tracker.serve.outbox import Outbox

    with tempfile.TemporaryDirectory() as folder:
        box = Outbox(Path(folder, "a.db"))
        for number in range(40):
            box.put({"event": "crossing", "line": "gate", "id": number})
        box.close()
        return [("outbox.db", Path(folder, "a.db").read_bytes())]


def read_outbox(path: Path) -> None:
    """Everything that waits is taken out; a damaged file gives what is left of it, and ends."""
    from tracker.serve.outbox import Outbox

    box = Outbox(path)
    try:
        for _ in range(60):
            rows = box.first(1)
            if not rows:
                break
            json.dumps(rows)
            box.delivered(rows[-1][0])
        box.put({"event": "more"})
    finally:
        box.close()


def read_today(path: Path) -> None:
    """Counts that go on after a restart."""
    from tracker.core.interfaces import SourceInfo
    from tracker.serve.hub import Hub

    hub = Hub("a", SourceInfo("a", IMAGE_SIZE, 25.0, None, live=True), path.parent)
    json.dumps(hub.counts())
    hub.close()


def todays() -> list[tuple[str, bytes]]:
    day = datetime.now().astimezone().date().isoformat()
    return [("today.json", json.dumps({"day": day, "counts": [["gate", "in", "car", 3]]}).encode())]


def read_playlist(path: Path) -> None:
    """A playlist beside its piece; the case's own folder is all that it may read."""
    (path.parent / "piece.ts").write_bytes(next(data for name, data in videos() if name.endswith(".ts")))
    read_source(path)


PLAYLIST = b"""#EXTM3U
#EXT-X-VERSION:3
#EXT-X-TARGETDURATION:1
#EXT-X-MEDIA-SEQUENCE:0
#EXTINF:0.320,
piece.ts
#EXT-X-ENDLIST
"""


# ---- pictures and videos ----------------------------------------------------------------------------


def picture(index: int) -> np.ndarray:
    image = np.full((IMAGE_SIZE[1], IMAGE_SIZE[0], 3), 60, np.uint8)
    image[10:30, 5 + index : 25 + index] = 220
    return image


@cache
def pictures() -> list[tuple[str, bytes]]:
    import cv2

    kinds = {s: cv2.imencode(s, picture(1))[1].tobytes() for s in (".png", ".jpg", ".bmp", ".tif", ".webp", ".ppm")}
    deep = cv2.imencode(".png", picture(1)[..., 0].astype(np.uint16) * 16)[1].tobytes()
    pages = cv2.imencodemulti(".tif", [picture(1), picture(2)])[1].tobytes()
    return [*((f"a{s}", data) for s, data in kinds.items()), ("deep.png", deep), ("pages.tif", pages)]


@cache
def videos() -> list[tuple[str, bytes]]:
    import av

    made = []
    for suffix, container, codec, kind in (
        (".mp4", "mp4", "libx264", "yuv420p"), (".mkv", "matroska", "libx264", "yuv420p"),
        (".avi", "avi", "mpeg4", "yuv420p"), (".webm", "webm", "libvpx", "yuv420p"),
        (".ts", "mpegts", "mpeg2video", "yuv420p"),
        (".flv", "flv", "flv", "yuv420p"), (".mov", "mov", "mjpeg", "yuvj420p"), (".gif", "gif", "gif", "rgb8"),
    ):  # fmt: skip
        buffer = io.BytesIO()
        with av.open(buffer, "w", format=container) as output:
            stream = output.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = *IMAGE_SIZE, kind
            for index in range(8):
                output.mux(stream.encode(av.VideoFrame.from_ndarray(picture(index), format="bgr24")))
            output.mux(stream.encode(None))
        made.append((f"clip{suffix}", buffer.getvalue()))
    return made


def read_source(path: Path) -> None:
    from tracker.app.outputs import StreamOutput
    from tracker.video.sources import open_source

    with open_source(str(path)) as source:
        source.primer(3, 1.0)
        folder = path.parent / "out"
        folder.mkdir(exist_ok=True)
        output = StreamOutput(folder, source.info, ("x",), video=max(source.info.size) <= 512, show=False)
        try:
            for number, frame in enumerate(source):
                output.write(frame, Tracks.empty(), frame.image)
                if number > 20:
                    break
        finally:
            output.close()


# ---- models -----------------------------------------------------------------------------------------


@cache
def networks() -> list[tuple[str, bytes]]:
    import onnx

    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    value = np.zeros((1, 7, 126), np.float32)
    value[0, :4, 7], value[0, 5, 7] = (36, 34, 24, 16), 0.9
    node, array = helper.make_node, onnx.numpy_helper.from_array
    nodes = [
        node("ReduceMean", ["images"], ["mean"], keepdims=0),
        node("Mul", ["mean", "zero"], ["nothing"]),
        node("Add", ["value", "nothing"], ["out"]),
    ]
    weights = [array(np.array(0, np.float32), "zero"), array(value, "value")]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("images", kind, [1, 3, 64, 96])],
                              [helper.make_tensor_value_info("out", kind, value.shape)], weights)  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, {"names": "{0: 'person', 1: 'car', 2: 'bus'}", "imgsz": "[64, 96]"})
    return [("net.onnx", model.SerializeToString())]


def read_network(path: Path) -> None:
    """As a run opens it: for the first time in a process of its own."""
    from detectors.registry import open_detector

    detector = open_detector(path, classes=["all"], device="cpu")
    detector(Frame(1, 0.0, picture(1), IMAGE_SIZE))
    detector.close()


@cache
def graphs() -> list[tuple[str, bytes]]:
    from tracker.core.tensorflow import import_tensorflow

    tf = import_tensorflow()
    with tf.Graph().as_default() as graph:
        images = tf.compat.v1.placeholder(tf.uint8, (None, 16, 8, 3), "images")
        x = tf.reduce_mean(tf.cast(images, tf.float32), (1, 2)) @ tf.constant(np.eye(3, 4, dtype=np.float32))
        tf.identity(tf.nn.l2_normalize(x, 1), "features")
    return [("encoder.pb", graph.as_graph_def().SerializeToString())]


def read_encoder(path: Path) -> None:
    """Everything that happens to a graph before it runs, and what inspect says of it."""
    from freeze.report import inspect
    from tracker.encoder.graph_file import infer_contract, read_graph

    quiet(lambda: inspect.main([str(path)]))
    infer_contract(path, read_graph(path))


def read_detector_graph(path: Path) -> None:
    from detectors.ssd_cut import cut_ssd

    cut_ssd(path)


@cache
def keras_models() -> list[tuple[str, bytes]]:
    from tests.fuzz.models import keras_files

    return keras_files()


def read_model(path: Path) -> None:
    from freeze.report import inspect

    if quiet(lambda: inspect.main([str(path)])):
        raise EncoderError("refused")


@cache
def checkpoints() -> list[tuple[str, bytes]]:
    from tests.fuzz.models import checkpoint_files

    return checkpoint_files()


def read_checkpoint(path: Path) -> None:
    """A damaged file of a checkpoint beside the other, whole one."""
    for name, data in checkpoints():
        if name != path.name and name.split(".")[0] == path.name.split(".")[0]:
            (path.parent / name).write_bytes(data)
    read_model(path.parent / path.name.split(".")[0])


def tarballs() -> list[tuple[str, bytes]]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in (("package/a.json", b"{}"), ("package/b.bin", b"0" * 200)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return [("package.tgz", buffer.getvalue())]


@cache
def saved_models() -> list[tuple[str, bytes]]:
    from tests.fuzz.models import saved_model_files

    return saved_model_files()


def read_saved_model(path: Path) -> None:
    """A damaged file of a SavedModel beside the others; `.meta` stands alone."""
    if path.suffix == ".meta":
        read_model(path)
        return
    folder = path.parent / "saved"
    (folder / "variables").mkdir(parents=True)
    for name, data in [*saved_models(), (path.name, path.read_bytes())]:
        (folder / ("" if name == "saved_model.pb" else "variables") / name).write_bytes(data)
    read_model(folder)


def foreign_encoders() -> list[tuple[str, bytes]]:
    from tests.fuzz.models import openvino_files

    return openvino_files()


def read_foreign_encoder(path: Path) -> None:
    """As a run opens it: for the first time in a process of its own."""
    from tracker.encoder.runtime import FrozenEncoder
    from tracker.encoder.trial import tried

    _beside(path, foreign_encoders())
    model = path.with_name("encoder.xml")
    tried(model)
    FrozenEncoder.open(model).close()


def read_tarball(path: Path) -> None:
    from detectors.store import unpack

    unpack(path.read_bytes(), ("package/a.json", "package/b.bin"))


YOLO = b"0 0.5 0.5 0.2 0.3 0.9\n1 0.25 0.25 0.1 0.1\n"
ADDRESSES = [
    b"rtsp://user:p@ss/w@host:554/cam?password=x",
    b"http://host/a.mp4#t=3",
    b"rtsp://{U}:{P}@h/user=a&password=b",
]

TARGETS = (
    Target("detections", detections, read_detections),
    Target("labels", lambda: [("labels.txt", YOLO)], read_labels),
    Target("seqinfo", lambda: [("seqinfo.ini", SEQINFO)], read_sequence),
    Target("config", lambda: [("config.toml", CONFIG)], read_config),
    Target("scene", scenes, read_scene_file),
    Target("address", lambda: [(f"{k}.bin", a) for k, a in enumerate(ADDRESSES)], read_address),
    Target("contract", contracts, read_contract),
    Target("run", run_files, read_run, weight=4.0),
    Target("mot", lambda: detections()[:1], read_mot, weight=4.0),
    Target("text", lambda: [("words.txt", TEXT)], read_text),
    Target("outbox", outboxes, read_outbox, weight=4.0),
    Target("today", todays, read_today, weight=4.0),
    Target("playlist", lambda: [("list.m3u8", PLAYLIST)], read_playlist, weight=4.0),
    Target("pictures", pictures, read_source, weight=6.0),
    Target("videos", videos, read_source, weight=6.0),
    Target("tarball", tarballs, read_tarball),
    Target("onnx", networks, read_network, weight=0.2),
    Target("encoder", graphs, read_encoder, weight=3.0),
    Target("detector", graphs, read_detector_graph, weight=3.0),
    Target("foreign", foreign_encoders, read_foreign_encoder, weight=0.1),
    Target("saved_model", saved_models, read_saved_model, weight=2.0),
    Target("keras", keras_models, read_model, weight=3.0),
    Target("checkpoint", checkpoints, read_checkpoint, weight=3.0),
)
EXPECTED = (TrackerError, SystemExit)
"""What a reader may raise; a command line refuses its arguments by SystemExit."""

if sys.flags.optimize:
    raise SystemExit("fuzzing needs its assertions; run without -O")
