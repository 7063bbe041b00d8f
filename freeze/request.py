"""What is asked for: one frozen dataclass, filled by the command line or by a program."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

PRECISIONS = ("f32", "bf16", "f16", "auto")
SOURCES = ("meta", "builder", "network", "keras", "saved_model", "graphdef")


@dataclass(frozen=True)
class Request:
    """One freeze.

    Exactly one of `meta` (alone), `builder`, `network`, `keras`, `saved_model`, `graphdef` is the source.

    Attributes
    ----------
    out : Path or None
        Where the graph goes; its contract is written beside it with the suffix .json.
    meta : Path or None
        MetaGraph of a TensorFlow 1 training run; beside a builder or network it is only compared with.
    checkpoint : Path or None
        Prefix, one of the checkpoint's files, or its folder.
    builder : str or None
        `FILE.py` or `FILE.py:FUNCTION`; run as the user's own code.
    network : str or None
        A name of freeze.networks.
    keras : Path or None
        .keras or full-model .h5 file; `custom_objects`: a Python file with the classes it needs.
    saved_model, signature : Path or str or None
        SavedModel folder and the signature to freeze.
    graphdef : Path or None
        An already frozen .pb.
    input, output : str or None
        Tensor or node names; None lets the loader choose where there is only one.
    image_shape : tuple[int, int, int] or None
        (height, width, channels) in pixels, for builders whose input is made here.
    dtype : str or None
        What the builder is given, `uint8` or `float32`.
    scale : float or None
        Factor applied to the 0..255 pixels before the model sees them (1/255 for models trained on 0..1).
    bind : dict[str, float]
        Values for placeholders that nothing feeds when tracking.
    ema : str
        Which variables to use where a checkpoint holds moving averages: `auto`, `yes` or `no`.
    colour_order : str or None
        What the model expects to be fed.
    unsafe : bool
        Load Keras Lambda layers, which run code stored in the model file.
    repair : bool
        False refuses wherever the graph's arithmetic would have to be mended.
    """

    out: Path | None = None
    meta: Path | None = None
    checkpoint: Path | None = None
    builder: str | None = None
    network: str | None = None
    keras: Path | None = None
    custom_objects: Path | None = None
    saved_model: Path | None = None
    signature: str | None = None
    graphdef: Path | None = None
    input: str | None = None
    output: str | None = None
    image_shape: tuple[int, int, int] | None = None
    dtype: str | None = None
    scale: float | None = None
    bind: dict[str, float] = field(default_factory=dict)
    ema: str = "auto"
    colour_order: str | None = None
    precision: str = "f32"
    unsafe: bool = False
    repair: bool = True
    tensorboard: Path | None = None
    report: Path | None = None

    @property
    def source(self) -> str:
        """Which loader the request is for; a builder or network beside a MetaGraph is the source."""
        named = [s for s in SOURCES if getattr(self, s) is not None]
        if "meta" in named and len(named) == 2 and named[1] in ("builder", "network"):
            return named[1]
        return named[0] if len(named) == 1 else ""
