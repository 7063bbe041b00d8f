"""The contract beside a frozen graph: `encoder.pb` has `encoder.json`. Imports no TensorFlow."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from tracker.core.text import parse_json

FORMAT_VERSION = 1


class ContractError(Exception):
    """A contract that cannot be read, or that does not belong to the graph beside it."""


@dataclass(frozen=True)
class Contract:
    """What a frozen encoder promises to whoever runs it.

    Attributes
    ----------
    graph_sha256 : str
        Hexadecimal SHA-256 of the .pb file's bytes.
    input_dtype : str
        `uint8` or `float32`: what is fed to node `input_name`.
    input_shape : tuple[int, int, int]
        (height, width, channels) of one crop, pixels; the batch axis is free.
    colour_order : str
        `bgr` (as OpenCV reads) or `rgb`: the order that the graph expects to be fed.
    input_range : tuple[float, float]
        (low, high) of the values fed, (0, 255) or (0, 1).
    dimension : int
        Length of a feature.
    l2_normalised : bool
        Features are unit vectors.
    crop_rule : str
        How a box becomes an input: `stretch` (box resized as it is) or `aspect` (box widened or heightened about its
        centre to the input's aspect first, as the published DeepSORT tools do).
    precision : str
        `f32`, `bf16`, `f16` or, of copies for other runtimes, `int8`: the arithmetic inside the graph.
    max_cosine_distance : float or None
        Matching threshold calibrated for these features, or None where it is not known.
    provenance : dict[str, Any]
        Where the weights come from: kind of source, file names, hashes, network, which variables.
    repairs : list[dict[str, Any]]
        What was mended on the way, each {code, nodes, why}.
    proof : dict[str, Any]
        Figures of the proof, for example {max_abs_difference, inputs, batches, ...}.
    """

    graph_sha256: str
    input_shape: tuple[int, int, int]
    dimension: int
    input_name: str = "images"
    output_name: str = "features"
    input_dtype: str = "uint8"
    colour_order: str = "bgr"
    input_range: tuple[float, float] = (0.0, 255.0)
    l2_normalised: bool = True
    crop_rule: str = "stretch"
    precision: str = "f32"
    max_cosine_distance: float | None = None
    tensorflow_version: str = ""
    provenance: dict[str, Any] = field(default_factory=dict)
    repairs: list[dict[str, Any]] = field(default_factory=list)
    proof: dict[str, Any] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    def to_json(self) -> str:
        """The contract as the text of its file, keys sorted."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str = "contract") -> Contract:
        """Raises ContractError for broken JSON, unknown or missing keys, and a newer format version."""
        try:
            data = parse_json(text)
        except ValueError as e:
            raise ContractError(f"{where} is not JSON ({e}); freeze the encoder again") from None
        if not isinstance(data, dict):
            raise ContractError(f"{where} holds a {type(data).__name__}, not an object; freeze the encoder again")
        version = data.get("format_version", 0)
        if type(version) is not int or version < 0:
            raise ContractError(f"{where} has format {str(version)[:40]!r}; freeze the encoder again")
        if version > FORMAT_VERSION:
            raise ContractError(
                f"{where} has format {data['format_version']}; this version reads up to {FORMAT_VERSION}: "
                "update the program or freeze again"
            )
        unknown = sorted(set(data) - {f.name for f in fields(cls)})
        if unknown:
            raise ContractError(f"{where} has unknown keys {', '.join(unknown)}; freeze the encoder again")
        try:
            data["input_shape"] = tuple(data["input_shape"])
            data["input_range"] = tuple(data.get("input_range", (0.0, 255.0)))
            contract = cls(**data)
        except (TypeError, KeyError) as e:
            raise ContractError(f"{where} is incomplete ({e}); freeze the encoder again") from None
        if wrong := contract._wrong():
            raise ContractError(f"{where}: {wrong} is {str(getattr(contract, wrong))[:60]!r}; freeze the encoder again")
        return contract

    def _wrong(self) -> str:
        """Name of the first value that no encoder has; empty where all can be true."""

        def count(value: object, most: int) -> bool:
            return type(value) is int and 1 <= value <= most

        shape, span = self.input_shape, self.input_range
        texts = ("graph_sha256", "input_name", "output_name", "tensorflow_version")
        sound = {
            "input_shape": len(shape) == 3 and all(count(v, 4096) for v in shape) and shape[2] in (1, 3),
            "dimension": count(self.dimension, 1 << 20),
            "input_range": len(span) == 2 and all(type(v) in (int, float) and abs(v) < 1e6 for v in span),
            "input_dtype": self.input_dtype in ("uint8", "float32"),
            "colour_order": self.colour_order in ("bgr", "rgb"),
            "crop_rule": self.crop_rule in ("stretch", "aspect"),
            "precision": self.precision in ("f32", "bf16", "f16", "int8"),
            "l2_normalised": type(self.l2_normalised) is bool,
            "max_cosine_distance": self.max_cosine_distance is None
            or (type(self.max_cosine_distance) in (int, float) and 0 <= self.max_cosine_distance <= 2),
            **{name: isinstance(getattr(self, name), str) for name in texts},
        }
        return next((name for name, good in sound.items() if not good), "")

    @classmethod
    def beside(cls, graph: Path) -> Contract | None:
        """The contract beside a .pb, checked against its hash; None where there is none."""
        path = contract_path(graph)
        if not path.exists():
            return None
        contract = cls.from_json(path.read_text(), str(path))
        digest = sha256(graph)
        if digest != contract.graph_sha256:
            raise ContractError(
                f"{graph} has SHA-256 {digest[:12]}…, its contract {path.name} was written for "
                f"{contract.graph_sha256[:12]}…; freeze again, or remove {path.name} to load the bare graph"
            )
        return contract


def contract_path(graph: Path) -> Path:
    """`X.json` for `X.pb`, `X.onnx.json` for `X.onnx`, and so on."""
    graph = Path(graph)
    return graph.with_suffix(".json") if graph.suffix == ".pb" else graph.with_name(graph.name + ".json")


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file; of X.xml with its weights X.bin; of all files in a folder, by name."""
    path = Path(path)
    if path.is_dir():
        parts = {p.relative_to(path).as_posix(): p for p in path.rglob("*") if p.is_file()}
    elif path.suffix == ".xml":
        parts = {".xml": path, ".bin": path.with_suffix(".bin")}
    else:
        return _of_file(path)
    lines = (f"{name} {_of_file(parts[name])}\n" for name in sorted(parts))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _of_file(path: Path) -> str:
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
