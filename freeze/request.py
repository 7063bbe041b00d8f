"""What is asked for: one frozen dataclass, whose fields are the options of every command that freezes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from freeze.errors import UsageError

PRECISIONS = ("f32", "bf16", "f16", "auto", "int8")
FORMATS = ("onnx", "openvino", "tflite", "savedmodel")
SOURCES = ("meta", "builder", "network", "keras", "saved_model", "graphdef")
DEFAULT_NETWORK = "striped"
"""Whose checkpoint it is where none of the sources is named."""
GROUPS = {"source": "source (one of)", "more": "what belongs to it", "result": "result"}

Kind = Literal["value", "flag", "off", "pairs"]


@dataclass(frozen=True)
class Option:
    """How a field of `Request` is written as an option.

    Attributes
    ----------
    group : str
        Key of `GROUPS`.
    help : str
        One line.
    metavar : str
        What stands for the value.
    read : callable
        Text to value; raises ValueError with a message that says what was expected.
    kind : str
        `value`, `flag` (its presence is True), `off` (its presence, as `--no-NAME`, is False) or `pairs`
        (NAME=VALUE, given again and again).
    """

    group: str
    help: str
    metavar: str = ""
    read: Callable[[str], Any] = str
    kind: Kind = "value"


def image_shape(text: str) -> tuple[int, int, int]:
    """`128x64x3` or `128x64`, as (height, width, channels)."""
    parts = text.lower().replace(",", "x").split("x")
    if len(parts) not in (2, 3) or not all(p.strip().isdecimal() and int(p) > 0 for p in parts):
        raise ValueError(f"'{text}' is no HEIGHTxWIDTHxCHANNELS, for example 128x64x3")
    height, width, *channels = (int(p) for p in parts)
    return height, width, channels[0] if channels else 3


def ratio(text: str) -> float:
    """`1/255` or `0.0039`."""
    try:
        above, _, below = text.partition("/")
        return float(above) / float(below or 1)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"'{text}' is no number, for example 1/255") from None


def pair(text: str) -> tuple[str, float]:
    """`NAME=NUMBER`, `NAME=true` or `NAME=false`."""
    name, _, value = text.partition("=")
    try:
        return name, float({"true": "1", "false": "0"}.get(value.lower(), value))
    except ValueError:
        raise ValueError(f"'{text}': give NAME=NUMBER, or NAME=true / NAME=false") from None


def one_of(*names: str) -> Callable[[str], str]:
    """A reader that takes these words alone."""

    def read(text: str) -> str:
        if text not in names:
            raise ValueError(f"'{text}' is not one of {', '.join(names)}")
        return text

    return read


def several_of(*names: str) -> Callable[[str], tuple[str, ...]]:
    """A reader of words with commas between them."""

    def read(text: str) -> tuple[str, ...]:
        words = tuple(dict.fromkeys(w.strip() for w in text.split(",") if w.strip()))
        if not words or set(words) - set(names):
            raise ValueError(f"'{text}': give one or several of {','.join(names)}, with commas between them")
        return words

    return read


def _option(
    group: str, metavar: str, text: str, read: Callable[[str], Any] = str, kind: Kind = "value"
) -> dict[str, Option]:
    return {"option": Option(group, text, metavar, read, kind)}


@dataclass(frozen=True)
class Request:
    """One freeze, of exactly one source.

    The source is `meta`, `builder`, `network`, `keras`, `saved_model` or `graphdef`; a `meta` beside a builder or
    network is only compared with. Every field is an option of `python -m freeze` (`image_shape` is `--image-shape`),
    with the help that stands here.
    """

    meta: Path | None = field(
        default=None, metadata=_option("source", "M.meta", "MetaGraph of a TensorFlow 1 training run", Path)
    )
    builder: str | None = field(
        default=None, metadata=_option("source", "FILE.py[:FUNCTION]", "your script; build(images) -> features")
    )
    network: str | None = field(
        default=None, metadata=_option("source", "NAME", "a network known by name (wrn, cosine_metric_learning, ...)")
    )
    keras: Path | None = field(
        default=None, metadata=_option("source", "FILE", "whole Keras model, .keras or .h5", Path)
    )
    saved_model: Path | None = field(default=None, metadata=_option("source", "DIR", "SavedModel folder", Path))
    graphdef: Path | None = field(
        default=None, metadata=_option("source", "FILE.pb", "a graph that is frozen already", Path)
    )
    checkpoint: Path | None = field(
        default=None, metadata=_option("more", "CKPT", "prefix, one of its files, or its folder", Path)
    )
    custom_objects: Path | None = field(
        default=None, metadata=_option("more", "FILE.py", "classes that the Keras model uses", Path)
    )
    signature: str | None = field(default=None, metadata=_option("more", "NAME", "signature of the SavedModel"))
    input: str | None = field(default=None, metadata=_option("more", "NAME", "tensor that takes the images"))
    output: str | None = field(default=None, metadata=_option("more", "NAME", "tensor that holds the features"))
    image_shape: tuple[int, int, int] | None = field(
        default=None, metadata=_option("more", "HxWxC", "size of a crop (default of builders 128x64x3)", image_shape)
    )
    dtype: str | None = field(
        default=None,
        metadata=_option(
            "more", "uint8|float32", "what the builder is given (default uint8)", one_of("uint8", "float32")
        ),
    )
    scale: float | None = field(
        default=None, metadata=_option("more", "1/255", "factor on the pixels 0..255 before a float input", ratio)
    )
    bind: Mapping[str, float] = field(
        default_factory=dict,
        metadata=_option(
            "more",
            "NAME=VALUE,...",
            "constants for placeholders that nothing feeds; may be repeated",
            pair,
            "pairs",
        ),
    )
    ema: str = field(
        default="auto",
        metadata=_option(
            "more",
            "auto|yes|no",
            "moving averages of a checkpoint instead of the values beside them (auto: where the graph reads them)",
            one_of("auto", "yes", "no"),
        ),
    )
    colour_order: str | None = field(
        default=None,
        metadata=_option(
            "more", "bgr|rgb", "order of the channels that the model is fed (default bgr)", one_of("bgr", "rgb")
        ),
    )
    unsafe: bool = field(
        default=False,
        metadata=_option("more", "", "load Keras Lambda layers: they run code stored in the file", kind="flag"),
    )
    out: Path | None = field(
        default=None, metadata=_option("result", "X.pb", "where the graph goes; its contract goes to X.json", Path)
    )
    also: tuple[str, ...] = field(
        default=(),
        metadata=_option(
            "result", ",".join(FORMATS), "the same encoder for other runtimes, each proved", several_of(*FORMATS)
        ),
    )
    precision: str = field(
        default="f32",
        metadata=_option(
            "result",
            "|".join(PRECISIONS),
            "arithmetic inside the graph (default f32); int8: of --also openvino,tflite",
            one_of(*PRECISIONS),
        ),
    )
    calibrate: str | None = field(
        default=None,
        metadata=_option(
            "result", "FOLDER|VIDEO", "crops that int8 is calibrated and judged on: a folder per identity, or a video"
        ),
    )
    repair: bool = field(
        default=True,
        metadata=_option("result", "", "refuse where the arithmetic would have to be mended", kind="off"),
    )
    tensorboard: Path | None = field(
        default=None, metadata=_option("result", "DIR", "write the graph before and after for TensorBoard", Path)
    )
    report: Path | None = field(
        default=None, metadata=_option("result", "FILE.json|FILE.html", "write the findings and figures", Path)
    )

    @property
    def source(self) -> str:
        """Which loader the request is for, `""` where none or several are named."""
        named = [s for s in SOURCES if getattr(self, s) is not None]
        if "meta" in named and len(named) == 2 and named[1] in ("builder", "network"):
            return named[1]
        return named[0] if len(named) == 1 else ""

    @classmethod
    def from_options(cls, given: Mapping[str, str | bool | list[str]]) -> Request:
        """A request from texts, as options or the table of a configuration hold them.

        Parameters
        ----------
        given : mapping
            Name of an option without its dashes (`image-shape`; `no-repair`) to its text; True for a flag, a list for
            an option given several times.

        Raises
        ------
        UsageError
            An unknown name, a text that cannot be read, no source or several.
        """
        known = options()
        values: dict[str, Any] = {}
        for name, text in given.items():
            if name not in known:
                raise UsageError(f"freezing has no option '{name}'; it has: {', '.join(known)}")
            target, option = known[name]
            values[target] = _read(name, option, text)
        asked = cls(**values)
        if not asked.source and asked.checkpoint is not None and asked.meta is None:
            asked = replace(asked, network=DEFAULT_NETWORK)  # what `train` and `adapt` write
        check_request(asked)
        return asked

    def to_json(self) -> str:
        """JSON text that `from_json` reads back."""
        return json.dumps({f.name: getattr(self, f.name) for f in fields(self)}, default=_plain)

    @classmethod
    def from_json(cls, text: str) -> Request:
        """The request that `to_json` wrote."""
        data = json.loads(text)
        paths = {f.name for f in fields(cls) if f.metadata["option"].read is Path}
        for name, value in data.items():
            if isinstance(value, str) and name in paths:
                data[name] = Path(value)
            elif isinstance(value, list):
                data[name] = tuple(value)
        return cls(**data)


def options() -> dict[str, tuple[str, Option]]:
    """Name of every option without its dashes -> (field of `Request`, how it is written)."""
    found = {}
    for f in fields(Request):
        option: Option = f.metadata["option"]
        name = f.name.replace("_", "-")
        found["no-" + name if option.kind == "off" else name] = (f.name, option)
    return found


def check_request(asked: Request) -> None:
    """Refuses what does not go together.

    Raises
    ------
    UsageError
        No source or several; a name with a wrong suffix; int8 without what it needs.
    """
    if not asked.source:
        raise UsageError(
            "give exactly one source: --meta, --builder, --network, --keras, --saved-model or --graphdef "
            "(--meta may stand beside a builder or network)"
        )
    if asked.out is not None and asked.out.suffix != ".pb":
        raise UsageError(f"--out {asked.out}: the name must end in .pb")
    if asked.report is not None and asked.report.suffix not in (".json", ".html"):
        raise UsageError(f"--report {asked.report}: the name must end in .json or .html")
    if asked.precision == "int8" and not {"openvino", "tflite"} & set(asked.also):
        raise UsageError("--precision int8 is of other runtimes: add --also openvino or tflite (X.pb stays float32)")
    if (asked.precision == "int8") != (asked.calibrate is not None):
        raise UsageError("--precision int8 and --calibrate FOLDER|VIDEO belong together: give both or neither")


def _read(name: str, option: Option, text: str | bool | list[str]) -> Any:
    if option.kind in ("flag", "off"):
        return option.kind == "flag" if text in (True, "true") else option.kind == "off"
    try:
        if option.kind == "pairs":
            texts = [text] if isinstance(text, str) else list(text) if isinstance(text, list) else []
            return dict(option.read(part) for t in texts for part in t.split(","))
        return option.read(str(text))
    except ValueError as e:
        raise UsageError(f"--{name} {e}") from None


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else dict(value)
