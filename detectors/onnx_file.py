"""Reads an ONNX file before any library does: what it says of itself, and what would harm whoever opens it.

Protocol buffers' wire format, walked by hand: https://protobuf.dev/programming-guides/encoding/; field numbers from
onnx.proto3. No package is needed for so little.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tracker.core.text import label
from tracker.errors import DetectorError

_GRAPH, _OPSETS, _METADATA, _FUNCTIONS = 7, 8, 14, 25  # of ModelProto
_NODE, _INITIALIZER, _SPARSE, _GRAPH_INPUT = 1, 5, 15, 11  # of GraphProto
_ATTRIBUTE, _FUNCTION_NODE = 5, 7  # of NodeProto, of FunctionProto
_DIMS, _TYPE, _NAME, _RAW, _EXTERNAL, _LOCATION = 1, 2, 8, 9, 13, 14  # of TensorProto
_EXTERNAL_DATA = 1
_BITS = {1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 16: 16}
"""Bits of an element by TensorProto.DataType, where they stand as raw bytes."""
DEEPEST = 32
"""Graphs within graphs."""
MOST_NAMES = 100_000
NEWEST = 28
"""The operator set of ONNX 1.23: a later one may mean something else by the names that runtimes know."""
SIDES, MOST_PICTURES = (32, 8192), 64
"""Sides of an input, pixels, and pictures at a time, that a detector may have."""


@dataclass(frozen=True)
class Input:
    """A graph's input.

    Attributes
    ----------
    name : str
    shape : tuple of int or None
        None for axes that are free.
    kind : int
        TensorProto.DataType: 1 float32, 10 float16, 2 uint8, 7 int64.
    """

    name: str
    shape: tuple[int | None, ...]
    kind: int


@dataclass(frozen=True)
class OnnxFile:
    """What a file says of itself: metadata by key, and the inputs that are no weights."""

    metadata: dict[str, str]
    inputs: tuple[Input, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Class names of `{0: 'person', ...}`, `{"0": "person"}` or `['person', ...]`; none where none can be read."""
        text = self.metadata.get("names", "")
        for read in (ast.literal_eval, json.loads):
            try:
                value = read(text)
                break
            except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
                continue
        else:
            return ()
        if isinstance(value, list | tuple):
            return tuple(label(v) for v in value)
        if not isinstance(value, dict) or not value:
            return ()
        numbered = {int(k): label(v) for k, v in value.items() if str(k).isdecimal() and int(k) < MOST_NAMES}
        return tuple(numbered.get(i, f"class {i}") for i in range(max(numbered, default=-1) + 1))

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) of `[height, width]` in the metadata."""
        try:
            height, width = ast.literal_eval(self.metadata.get("imgsz", ""))
            return (int(width), int(height)) if 0 < int(width) < 1 << 14 and 0 < int(height) < 1 << 14 else None
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            return None


def read_onnx(data: bytes, folder: Path) -> OnnxFile:
    """Metadata and inputs of a ModelProto, once its tensors are known to be what they say.

    Parameters
    ----------
    data : bytes
        Of the file.
    folder : Path
        Where it lies: weights kept outside the file must lie there, too.

    Raises
    ------
    DetectorError
        The bytes are no ModelProto, a tensor has other bytes than its shape asks for, or weights lie elsewhere.
    """
    metadata: dict[str, str] = {}
    inputs: tuple[Input, ...] = ()
    try:
        graphs = _parts(memoryview(data), _GRAPH)
        for entry in _parts(memoryview(data), _METADATA):
            pair = {f: bytes(v).decode("utf-8", "replace") for f, v in _fields(entry) if isinstance(v, memoryview)}
            metadata[pair.get(1, "")] = pair.get(2, "")
        for graph in graphs:
            inputs = _inputs(graph)
            _check_graph(graph, folder, 0)
        for node in _parts(memoryview(data), _FUNCTIONS, _FUNCTION_NODE):
            _check_node(node, folder, 0)
        for opset in _parts(memoryview(data), _OPSETS):
            _check_opset(dict(_fields(opset)))
    except (IndexError, ValueError) as error:
        raise DetectorError(f"not an ONNX model ({error}); expected the whole file of a detector") from None
    if not graphs or not inputs or not all(i.name for i in inputs):
        raise DetectorError("not an ONNX model: it has no graph, or an input without a name")
    return OnnxFile(metadata, inputs)


def _check_opset(entry: dict[int, int | memoryview]) -> None:
    """Refuse ONNX's own operators of a version that is not known yet; an entry is a domain (1) and a version (2)."""
    domain, version = entry.get(1, b""), entry.get(2, 0)
    own = not isinstance(domain, int) and bytes(domain) in (b"", b"ai.onnx")
    if own and isinstance(version, int) and not 0 < version <= NEWEST:
        raise DetectorError(f"its operators are of ONNX's set {version}; expected 1 to {NEWEST}: export with opset=17")


def _check_graph(graph: memoryview, folder: Path, depth: int) -> None:
    if depth > DEEPEST:
        raise ValueError(f"graphs within graphs, more than {DEEPEST} deep")
    for number, value in _fields(graph):
        if isinstance(value, memoryview):
            if number == _INITIALIZER:
                _check_tensor(value, folder)
            elif number == _SPARSE:
                for tensor in (*_parts(value, 1), *_parts(value, 2)):
                    _check_tensor(tensor, folder)
            elif number == _NODE:
                _check_node(value, folder, depth)


def _check_node(node: memoryview, folder: Path, depth: int) -> None:
    """Tensors and graphs in a node's attributes."""
    for attribute in _parts(node, _ATTRIBUTE):
        for number, value in _fields(attribute):
            if isinstance(value, memoryview) and number in (5, 10):  # t, tensors
                _check_tensor(value, folder)
            elif isinstance(value, memoryview) and number in (6, 11):  # g, graphs
                _check_graph(value, folder, depth + 1)


def _check_tensor(tensor: memoryview, folder: Path) -> None:
    """Refuse weights outside the folder, and shapes that do not fit the bytes: parsers have crashed on both."""
    dims: list[int] = []
    kind = raw = location = 0
    outside: list[memoryview] = []
    name = ""
    for number, value in _fields(tensor):
        if number == _DIMS:
            dims += [value] if isinstance(value, int) else list(_packed(value))
        elif number == _NAME and isinstance(value, memoryview):
            name = label(bytes(value).decode("utf-8", "replace"))
        elif number == _RAW and isinstance(value, memoryview):
            raw = len(value)
        elif number == _TYPE and isinstance(value, int):
            kind = value
        elif number == _LOCATION and isinstance(value, int):
            location = value
        elif number == _EXTERNAL and isinstance(value, memoryview):
            outside.append(value)
    count = 1
    for dim in dims:
        count *= dim
        if dim >= 1 << 31 or count >= 1 << 40:
            raise DetectorError(f"its tensor {name!r} has the shape {_signed(dims)}; the file is damaged: get it again")
    if outside or location == _EXTERNAL_DATA:
        for place in _locations(outside):
            _check_outside(place, name, folder)
    elif raw and kind in _BITS and raw * 8 != count * _BITS[kind]:
        raise DetectorError(
            f"its tensor {name!r} has {raw} bytes for the shape {dims}; the file is damaged: get it again"
        )


def _locations(entries: list[memoryview]) -> list[str]:
    """Every value that a parser may take for a tensor's location, a key (1) and a value (2) each; `` for none.

    Of a field that comes twice some readers take the first and others the last.
    """
    found = [
        bytes(value).decode("utf-8", "replace")
        for entry in entries
        if b"location" in map(bytes, _parts(entry, 1))
        for value in _parts(entry, 2) or [memoryview(b"")]
    ]
    return found or [""]


def _check_outside(location: str, name: str, folder: Path) -> None:
    """Weights beside the file are read by whoever opens it: they must lie in its folder, links followed."""
    place = Path(location)
    inside = bool(location) and not place.is_absolute() and ".." not in place.parts
    if not inside or not (folder / place).resolve().is_relative_to(folder.resolve()):
        raise DetectorError(
            f"the weights {name!r} are to be read from {label(location)!r}, outside the model's folder; refused: put "
            "them beside the model and export it again"
        )
    if not (folder / place).is_file():
        raise DetectorError(f"its weights {label(location)!r} are missing; put that file beside the model")


def _signed(dims: list[int]) -> list[int]:
    return [d - (1 << 64) if d >= 1 << 63 else d for d in dims]


def _inputs(graph: memoryview) -> tuple[Input, ...]:
    weights = {bytes(name) for name in _parts(graph, _INITIALIZER, _NAME)}
    found = []
    for entry in _parts(graph, _GRAPH_INPUT):
        name = bytes(next(iter(_parts(entry, 1)), b""))
        if name in weights:
            continue
        axes = _parts(entry, 2, 1, 2, 1)  # type, tensor_type, shape, dim
        shape = _signed([next((v for f, v in _fields(a) if f == 1 and isinstance(v, int)), 0) for a in axes])
        kinds = [v for t in _parts(entry, 2, 1) for f, v in _fields(t) if f == 1 and isinstance(v, int)]
        found.append(Input(name.decode("utf-8", "replace"), tuple(d or None for d in shape), kinds[0] if kinds else 0))
    return tuple(found)


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(field number, varint or bytes) of a message."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind == 2:
            size, at = _varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind}")
        if at + size > len(data):
            raise ValueError("it breaks off")
        yield key >> 3, data[at : at + size]
        at += size


def _packed(data: memoryview) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number without an end")


def _parts(data: memoryview, *path: int) -> list[memoryview]:
    """Submessages at a path of field numbers."""
    found = [data]
    for number in path:
        found = [v for part in found for f, v in _fields(part) if f == number and isinstance(v, memoryview)]
    return found
