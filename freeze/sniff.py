"""Says what a file is by its first bytes and its name; loads no TensorFlow."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

from freeze.errors import FreezeError
from tracker.core.files import no_model
from tracker.core.text import parse_json

HEAD = 4096
LIMIT = 2**31 - 1  # protocol buffers hold no more than this


@dataclass(frozen=True)
class Kind:
    """What a file is.

    Attributes
    ----------
    name : str
        Short constant.
    text : str
        For people.
    option : str or None
        The freeze option it belongs to; None if nothing reads it.
    """

    name: str
    text: str
    option: str | None = None
    remedy: str = ""


def sniff(path: Path) -> Kind:
    """What lies at `path`.

    Raises
    ------
    FreezeError
        FILE_MISSING where nothing does.
    """
    path = Path(path)
    if path.is_dir():
        return _folder(path)
    if not path.exists():
        if list(path.parent.glob(path.name + ".index")) or list(path.parent.glob(path.name + ".data-*")):
            return Kind("checkpoint", "a TensorFlow checkpoint, given by its prefix", "--checkpoint")
        near = sorted(p.name for p in path.parent.iterdir())[:12] if path.parent.is_dir() else []
        raise FreezeError(
            "FILE_MISSING",
            f"{path} does not exist",
            "check the path; the folder holds: " + (", ".join(near) if near else "nothing, or is missing itself"),
            [str(path)],
        )
    size = path.stat().st_size
    with open(path, "rb") as f:
        head = f.read(HEAD)
        f.seek(max(0, size - 48))
        tail = f.read()
    return _by_bytes(path, head, tail, size)


def _folder(path: Path) -> Kind:
    graph = path / "saved_model.pb"
    if graph.exists() and (inner := sniff(graph)).name in ("git-lfs", "html", "empty"):
        return Kind(inner.name, f"a folder whose saved_model.pb is {inner.text}", None, inner.remedy)
    if graph.exists() or (path / "saved_model.pbtxt").exists():
        return Kind("saved_model", "a SavedModel folder", "--saved-model")
    if (path / "checkpoint").exists() or list(path.glob("*.index")):
        return Kind("checkpoint", "a folder of TensorFlow checkpoints", "--checkpoint")
    below = sorted(p.parent.name for p in path.glob("*/saved_model.pb"))
    if below:
        found = f"a folder that holds no saved_model.pb itself, but SavedModels in {', '.join(below[:8])}"
        return Kind("folder", found, None, f"give one of them, for example --saved-model {path / below[-1]}")
    if path.name == "variables" and (path.parent / "saved_model.pb").exists():
        return Kind("folder", "the variables/ folder of a SavedModel", None, f"give the folder above: {path.parent}")
    return Kind(
        "folder",
        "a folder that holds neither saved_model.pb nor checkpoints",
        None,
        "give the folder that holds saved_model.pb, or the checkpoint's prefix",
    )


SAVED_MODEL_PB = (
    "give the folder that holds it as saved_model.pb, with variables/ beside it: --saved-model DIR (saved_model.pb "
    "alone has no weights)"
)
MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"\x80\x02", "pickle", "a Python pickle (perhaps an old PyTorch file)"),
    (b"\x1f\x8b", "gzip", "a gzip archive (.tar.gz?)"),
    (b"7z\xbc\xaf", "7z", "a 7-Zip archive"),
    (b"Rar!", "rar", "a RAR archive"),
    (b"\x93NUMPY", "numpy", "a NumPy array"),
    (b"\x89PNG", "image", "a PNG picture"),
    (b"\xff\xd8\xff", "image", "a JPEG picture"),
    (b"%PDF", "pdf", "a PDF document"),
    (b"\x7fELF", "binary", "a program or library"),
    (b"RIFF", "media", "a RIFF media file"),
)


def _by_bytes(path: Path, head: bytes, tail: bytes, size: int) -> Kind:
    again = "download the model itself again"
    if size == 0:
        return Kind("empty", "an empty file (0 bytes)", None, again + ", or train until a checkpoint is written")
    if (page := _page(head)) is not None:
        return page
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return _hdf5(path)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip(path)
    for magic, name, what in MAGIC:
        if head.startswith(magic):
            return Kind(name, what, None, "only TensorFlow and Keras models are frozen here")
    if head[4:8] == b"TFL3":
        return Kind(
            "tflite",
            "a TensorFlow Lite model",
            None,
            "give the model it was converted from (SavedModel, .keras or checkpoint)",
        )
    if path.name.endswith(".meta") and not (head.startswith(b"\n") and not _meta_info(head)):
        return Kind("meta", "a MetaGraph", "--meta")
    if path.name.endswith(".index") or ".data-0" in path.name:
        return Kind("checkpoint", "a file of a V2 checkpoint", "--checkpoint")
    if tail.endswith(b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"):
        return Kind("checkpoint", "a V1 single-file checkpoint", "--checkpoint")
    if path.name == "checkpoint" and b"model_checkpoint_path" in head:
        return Kind("checkpoint", "the `checkpoint` file that names the latest checkpoint", "--checkpoint")
    return _text_or_proto(path, head, size)


def _page(head: bytes) -> Kind | None:
    """What downloads leave in a model's place."""
    instead = no_model(head)
    if instead == "html":
        return Kind(
            "html",
            "an HTML web page, not a model: the download saved the page that links to the file",
            None,
            "open the link in a browser, confirm the download there, and give the file that it saves",
        )
    if head.lstrip().lower().startswith(b"<?xml"):
        return _xml(head)
    if instead == "git-lfs":
        return Kind(
            "git-lfs",
            "a git-lfs pointer (a text file standing for the model), not the model itself",
            None,
            "run `git lfs install` and `git lfs pull` in the repository, or download the file from its web page",
        )
    return None


def _xml(head: bytes) -> Kind:
    if b"<net " in head:
        return Kind(
            "openvino", "an OpenVINO model (XML)", None, "give the TensorFlow or Keras model it was converted from"
        )
    return Kind("html", "an XML or HTML (web page) document, not a model", None, "download the model itself again")


def _text_or_proto(path: Path, head: bytes, size: int) -> Kind:
    if path.name == "saved_model.pb":
        return Kind("saved_model", "the graph of a SavedModel: give its folder", "--saved-model")
    if path.suffix == ".py":
        return Kind("builder", "a Python script", "--builder")
    if head.startswith(b"\x08") and (
        b"onnx" in head[:64].lower() or b"pytorch" in head[:64].lower() or path.suffix == ".onnx"
    ):
        return Kind("onnx", "an ONNX model", None, "give the TensorFlow or Keras model; ONNX is not read by freeze")
    if (text := _text(head)) is not None:
        return text
    if size > LIMIT:
        return Kind(
            "too_large",
            f"a file of {size / 2**30:.2f} GiB: a GraphDef holds no more than 2 GiB",
            None,
            "give the checkpoint and the builder, and freeze a smaller network",
        )
    if head.startswith((b"\x08\x01\x12", b"\x08\x01\n")):  # SavedModel.saved_model_schema_version = 1, then a MetaGraph
        return Kind("saved_model_pb", "the graph of a SavedModel, without its folder", None, SAVED_MODEL_PB)
    if head[:1] == b"\n" and _meta_info(head):
        return Kind("meta", "a MetaGraph (.meta)", "--meta")
    if head[:1] == b"\n":  # field 1, length-delimited: GraphDef.node
        return Kind("graphdef", "a binary GraphDef (frozen graph)", "--graphdef")
    return Kind(
        "unknown",
        f"no model known here (it starts with {head[:8].hex(' ')})",
        None,
        "give a .meta, checkpoint, .keras, .h5, SavedModel folder or frozen .pb",
    )


def _text(head: bytes) -> Kind | None:
    """What is written in letters."""
    try:
        words = head.decode()
    except UnicodeDecodeError:
        return None
    if sum(c.isprintable() or c.isspace() for c in words) <= 0.97 * len(words):
        return None
    if words.lstrip().startswith(("node {", "node{")):
        return Kind("pbtxt", "a GraphDef in text form (.pbtxt)", "--graphdef")
    if words.lstrip().startswith("{"):
        return Kind(
            "json",
            "a JSON document" + _keras_json(words),
            None,
            "give the model file with its weights (.keras or .h5)",
        )
    return Kind("text", f"a text file that starts with {words.strip()[:40]!r}", None, "give the model itself")


def _meta_info(head: bytes) -> bool:
    """Field 1 is a MetaGraph's MetaInfoDef, not a GraphDef's node, which starts with its name and its operation."""
    at = 1
    while at < len(head) and head[at] & 0x80:  # the field's length, a varint
        at += 1
    inner = head[at + 1 :]
    if inner[:1] != b"\n":
        return bool(inner)  # stripped_op_list, or with TensorFlow 1.4 only tags and versions: a node starts with a name
    return inner[2 + inner[1] :][:1] != b"\x12" if len(inner) > 2 and inner[1] < 128 else False


def _keras_json(words: str) -> str:
    return " (the architecture of a Keras model, without weights)" if '"class_name"' in words else ""


def _zip(path: Path) -> Kind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        return Kind("zip", "a damaged or truncated zip archive", None, "download or copy the file again")
    if "config.json" in names and any(n.endswith(".h5") for n in names):
        return Kind("keras", "a Keras 3 model (.keras)", "--keras")
    if any(n.endswith("data.pkl") for n in names):
        return Kind(
            "pytorch",
            "a PyTorch checkpoint (zip with pickled data)",
            None,
            "only TensorFlow and Keras models are frozen here: convert it, or train the TensorFlow network",
        )
    inside = ", ".join(names[:8])
    return Kind("zip", f"a zip archive that holds {inside}", None, "unpack it and give the model inside")


def _hdf5(path: Path) -> Kind:
    try:
        import h5py

        with h5py.File(path, "r") as f:
            keys = list(f.keys())
            full = "model_config" in f.attrs
            if full:
                parse_json(f.attrs["model_config"])
    except (OSError, ValueError, ImportError) as e:
        return Kind("hdf5", f"a damaged or truncated HDF5 file ({e})", None, "copy or download it again")
    if full:
        return Kind("keras", "a whole Keras model in HDF5 (.h5)", "--keras")
    if (
        "layer_names" in keys
        or "layers" in keys
        or "_layer_checkpoint_dependencies" in keys
        or path.name.endswith(".weights.h5")
        or "vars" in keys
        or keys
    ):
        return Kind(
            "keras_weights",
            "a Keras weights-only file: it holds values, not the layers that use them",
            None,
            "save the whole model (`model.save('encoder.keras')`) and freeze that",
        )
    return Kind("hdf5", "an HDF5 file without a Keras model", None, "give the file that `model.save` wrote")


def check_kind(path: Path, wanted: str, option: str) -> None:
    """Raises WRONG_FILE unless `path` is of the kind that `option` reads.

    A file of unknown kind passes where its own loader can say more.
    """
    kind = sniff(path)
    if kind.name == wanted or (kind.name == "unknown" and wanted in ("graphdef", "meta", "checkpoint")):
        return
    remedy = f"use {kind.option} {path}" if kind.option and kind.option != option else kind.remedy
    code = (
        "KERAS_WEIGHTS_ONLY"
        if kind.name == "keras_weights"
        else "TOO_LARGE"
        if kind.name == "too_large"
        else "WRONG_FILE"
    )
    raise FreezeError(code, f"{option} was given {Path(path).name}, which is {kind.text}", remedy, [str(path)])
