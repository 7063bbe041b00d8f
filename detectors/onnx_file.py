"""Reads from an ONNX file the little that OpenCV does not tell: metadata and the input's shape.

Protocol buffers' wire format, walked by hand: https://protobuf.dev/programming-guides/encoding/; field numbers from
onnx.proto3. No package is needed for so little.
"""

from __future__ import annotations

from collections.abc import Iterator

from tracker.errors import DetectorError

_GRAPH, _METADATA, _GRAPH_INPUT, _INITIALIZER = 7, 14, 11, 5


def read_metadata(data: bytes) -> tuple[dict[str, str], tuple[int | None, ...]]:
    """Metadata properties, and the first real input's shape with None for free axes, of a ModelProto.

    Raises
    ------
    DetectorError
        The bytes are no ModelProto.
    """
    metadata: dict[str, str] = {}
    shape: tuple[int | None, ...] = ()
    try:
        for field, value in _fields(memoryview(data)):
            if field == _METADATA and isinstance(value, memoryview):
                entry = {f: bytes(v).decode("utf-8", "replace") for f, v in _fields(value) if isinstance(v, memoryview)}
                metadata[entry.get(1, "")] = entry.get(2, "")
            elif field == _GRAPH and isinstance(value, memoryview):
                shape = _input_shape(value)
    except (IndexError, ValueError) as error:
        raise DetectorError(f"not an ONNX model ({error})") from None
    return metadata, shape


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


def _input_shape(graph: memoryview) -> tuple[int | None, ...]:
    weights = {bytes(name) for name in _parts(graph, _INITIALIZER, 8)}
    for entry in _parts(graph, _GRAPH_INPUT):
        if bytes(_parts(entry, 1)[0]) not in weights:
            axes = _parts(entry, 2, 1, 2, 1)  # type, tensor_type, shape, dim
            return tuple(next((v for f, v in _fields(a) if f == 1 and isinstance(v, int)), None) for a in axes)
    return ()
