"""What a run depends on: one frozen dataclass, the truth for the defaults of `run`, and its TOML form."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from detectors.registry import family_of
from detectors.tiles import parse_tiles
from tracker.answers.clock import parse_interval, parse_start
from tracker.answers.scene import UNITS
from tracker.core.address import Address
from tracker.core.command_line import did_you_mean
from tracker.core.text import label
from tracker.errors import ConfigError, DetectorError
from tracker.tracking.config import OverlapConfig, Settings
from tracker.tracking.trackers import TRACKERS, setting_names

AUTO = "auto"
"""Of settings that a run chooses itself."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything a run of `python -m tracker run` depends on, its output folder aside."""

    sources: tuple[str, ...] = ()
    """Video files, camera indices, addresses, image folders or globs, MOT sequence folders."""
    detector: str = "auto"
    """auto, ssdlite, coco, motion, or a file: .onnx, .pb, or .txt with MOT rows."""
    confidence: float | None = None
    """Smallest score of a detection; None: the detector's own."""
    nms: float | None = None
    """Overlap (IoU) above which the weaker of two boxes goes; None: the detector's own."""
    classes: tuple[str, ...] = ()
    """Names of the classes to track; empty: the detector's own choice."""
    tiles: str = "auto"
    """Overlapping tiles the detector looks at: off, auto, or columns x rows."""
    detail: str = "auto"
    """How large a network sees a frame: fast, fine, or auto, which measures it on the first frames."""
    input_size: str | None = None
    """WIDTHxHEIGHT in multiples of 32 instead, for networks that take any size."""
    offline: bool = False
    """Never fetch a model."""
    encoder: str = "default"
    """default, colour, none, or a frozen graph (.pb)."""
    appearance: str = "auto"
    """Which detections get a feature: always all, auto those whose match motion leaves open, off none."""
    device: str = "auto"
    """auto, cpu, gpu or gpu:N."""
    preset: str = "default"
    """Parameters of the tracker to start from."""
    start: int = 1
    """First frame to track, 1-based."""
    max_frames: int | None = None
    """Frames to track; None: all."""
    stride: int = 1
    """Track every n-th frame."""
    detect_every: int | str = AUTO
    """Run the detector on every n-th tracked frame; auto: on as few of a recording's as its objects' speeds allow."""
    target_fps: float | None = None
    """Frames per second to hold by detecting and embedding less; None: never trade quality for speed."""
    scene: str | None = None
    """File of lines, zones, ignored areas and ground, as `python -m tracker scene` saves it."""
    line: tuple[str, ...] = ()
    """Lines to count at: NAME=X1,Y1,X2,Y2 in pixels, with :"to the right/to the left" for names of directions."""
    zone: tuple[str, ...] = ()
    """Zones to watch: NAME=X1,Y1,X2,Y2,X3,Y3,..."""
    ignore: tuple[str, ...] = ()
    """Areas in which objects are not counted, as zones."""
    ground: str | None = None
    """A rectangle on the ground, for speeds: WIDTHxLENGTH=X1,Y1,X2,Y2,X3,Y3,X4,Y4 in metres and pixels."""
    unit: str | None = None
    """Of speeds: km/h or mph; None: that of the scene."""
    interval: str = "15min"
    """Length of time by which is counted."""
    start_time: str | None = None
    """Time of the source's first frame; None: of its name or its container, or the wall clock for live sources."""
    database: str | None = None
    """SQLite file for tracks, crossings, visits and objects, of one source; None: none."""
    blur: str | None = None
    """Who is made unrecognisable in the video: person or all; None: nobody."""
    smooth: bool = False
    """Smooth and fill the tracks when the run is over (files only)."""
    video: bool = True
    """Write tracks.mp4."""
    show: bool = False
    """Show the frames in a window."""
    scores: bool = False
    """Write each detection's score beside its name on the video."""
    threads: bool = True
    """Give each stage a thread; the tracks are the same without."""
    rtsp_transport: str = "tcp"
    """How RTSP cameras send: tcp (nothing is lost), or udp (for cameras that know nothing else)."""
    reconnect: float = 30.0
    """Seconds to go on trying after a live source was lost."""
    unsafe: bool = False
    """Run model files with operations or code that may read and write files; never taken from a file of settings."""
    freeze: dict[str, str] = field(default_factory=dict)
    """An encoder of the user's own to freeze and prove first: options of `python -m freeze` without their dashes."""
    tracker: Settings = field(default_factory=OverlapConfig)
    """The configuration of the tracker that `preset` names."""

    def __post_init__(self) -> None:
        for name, hint in _hints().items():
            object.__setattr__(self, name, _typed(getattr(self, name), hint, name))
        self._check_names()
        self._check_numbers()
        if self.blur is not None:
            _choice("blur", self.blur, ("person", "all"))
        if self.unit is not None:
            _choice("unit", self.unit, tuple(UNITS))
        if self.database is not None and len(self.sources) > 1:
            raise ConfigError(f"database {self.database} is for one source; {len(self.sources)} were given")
        parse_interval(self.interval)
        if self.start_time is not None:
            parse_start(self.start_time)
        if self.freeze and self.encoder != RunConfig.encoder:
            raise ConfigError(
                f"encoder {self.encoder} and an encoder to freeze ({', '.join(self.freeze)}); expected one"
            )

    def _check_names(self) -> None:
        """Refuse words that name nothing."""
        try:
            family_of(self.detector)
        except DetectorError as e:
            raise ConfigError(str(e)) from None
        names = ("default", "colour", "none")
        if self.encoder not in names and not self.encoder.lower().endswith(ENCODERS):
            raise ConfigError(
                f"encoder is {self.encoder!r}; expected {', '.join(names)}, or a file that ends in "
                f"{', '.join(ENCODERS)}{did_you_mean(self.encoder, names)}"
            )
        if not re.fullmatch(r"auto|cpu|gpu(:\d+)?", self.device):
            raise ConfigError(f"device is {self.device!r}; expected auto, cpu, gpu or gpu:N")
        parse_tiles(self.tiles)
        _choice("appearance", self.appearance, ("always", "auto", "off"))
        _choice("detail", self.detail, ("auto", "fast", "fine"))
        _choice("preset", self.preset, tuple(TRACKERS))
        if type(self.tracker) is not TRACKERS[self.preset].config:
            raise ConfigError(f"preset {self.preset} and settings of another tracker ({type(self.tracker).__name__})")
        _choice("rtsp_transport", self.rtsp_transport, ("tcp", "udp"))

    def _check_numbers(self) -> None:
        """Refuse numbers out of bounds."""
        for name in ("start", "stride", "max_frames"):
            _at_least(name, getattr(self, name), 1)
        if self.detect_every != AUTO and (isinstance(self.detect_every, str) or self.detect_every < 1):
            raise ConfigError(f"detect_every is {self.detect_every}; expected {AUTO} or a number from 1 on")
        for name in ("confidence", "nms"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(f"{name} is {value}; expected a number from 0 to 1")
        if self.target_fps is not None and not self.target_fps > 0:
            raise ConfigError(f"target_fps is {self.target_fps}; expected a positive number")
        _at_least("reconnect", self.reconnect, 0)

    @property
    def every(self) -> int:
        """Of how many frames the detector looks at one where nothing is chosen on the way."""
        return self.detect_every if isinstance(self.detect_every, int) else 1

    @property
    def wants_encoder(self) -> bool:
        """Whether features are computed at all."""
        return self.encoder != "none" and self.appearance != "off"

    @property
    def holds_secret(self) -> bool:
        """A source's address has a password or the like in it."""
        addresses = (Address.parse(text) for text in self.sources)
        return any(a.secret for a in addresses if a is not None)

    def to_toml(self) -> str:
        """The configuration as TOML; keys that are None are left out."""
        import tomli_w

        run = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("tracker", "freeze", "unsafe")}
        tables = {"run": run, "tracker": {f.name: getattr(self.tracker, f.name) for f in fields(self.tracker)}}
        if self.freeze:
            tables["freeze"] = self.freeze
        return tomli_w.dumps({name: {k: v for k, v in t.items() if v is not None} for name, t in tables.items()})


ENCODERS = (".pb", ".onnx", ".xml")
"""Suffixes of the files that are encoders as they are."""


MOST = 10**9
"""Of numbers in a configuration: frames of a year at 25 a second."""


def read_toml(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The tables [run] (with [freeze] as a key of it) and [tracker] of a file, checked against the dataclasses.

    Raises
    ------
    ConfigError
        The file is missing or not TOML, or a key or a value's type is unknown.
    """
    try:
        data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(
            f"{path} cannot be read ({getattr(e, 'strerror', None) or e}); expected a TOML file"
        ) from None
    except RecursionError:
        raise ConfigError(f"{path} is nested too deep; expected the tables [run], [tracker] and [freeze]") from None
    except ValueError as e:  # TOMLDecodeError, and numbers of thousands of digits
        raise ConfigError(f"{path} is not TOML: {e}") from None
    if unknown := sorted(set(data) - {"run", "tracker", "freeze"}):
        raise ConfigError(f"{path} has unknown key {unknown[0]!r}; expected the tables [run], [tracker] and [freeze]")
    run = _checked(data.get("run", {}), f"{path}: [run]")
    if freeze := data.get("freeze"):
        if not isinstance(freeze, dict) or not all(isinstance(v, str) for v in freeze.values()):
            raise ConfigError(f"{path}: [freeze] is {freeze!r}; expected a table of strings")
        run["freeze"] = freeze
    return run, _tracker_table(data.get("tracker", {}), f"{path}: [tracker]")


def _tracker_table(table: Any, where: str) -> dict[str, Any]:
    """The table as it is; a tracker's configuration checks values, and whether a name is one of its own."""
    if not isinstance(table, dict):
        raise ConfigError(f"{where} is {table!r}; expected a table")
    if unknown := sorted(set(table) - setting_names()):
        raise ConfigError(f"{where} has unknown key {unknown[0]!r}; it knows: {', '.join(sorted(setting_names()))}")
    return table


@cache
def _hints() -> dict[str, Any]:
    """Types of the fields that a file's table [run] may hold, by name."""
    return {k: v for k, v in get_type_hints(RunConfig).items() if k not in ("tracker", "freeze", "unsafe")}


def _checked(table: Any, where: str) -> dict[str, Any]:
    hints = _hints()
    if not isinstance(table, dict):
        raise ConfigError(f"{where} is {table!r}; expected a table")
    if unknown := sorted(set(table) - set(hints)):
        raise ConfigError(f"{where} has unknown key {unknown[0]!r}; it knows: {', '.join(sorted(hints))}")
    return {key: _typed(value, hints[key], f"{where} {key}") for key, value in table.items()}


def _typed(value: Any, hint: Any, where: str) -> Any:
    """A TOML value as the type its field asks for; whole numbers pass for floats, arrays for tuples."""
    options = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    for option in options:
        if option is NoneType and value is None:
            return None
        if get_origin(option) is tuple and isinstance(value, list | tuple):
            item = get_args(option)[0]
            return tuple(_typed(v, item, where) for v in value)
        if option is float and type(value) in (int, float) and abs(value) <= MOST:
            return float(value)
        if option is int and type(value) is int and abs(value) <= MOST:
            return value
        if option in (str, bool) and type(value) is option and "\0" not in str(value):
            return value
    expected = " or ".join(_named(option) for option in options if option is not NoneType)
    raise ConfigError(f"{where} is {label(repr(value))}; expected {expected}")


def _named(kind: Any) -> str:
    """A type, for people."""
    if get_origin(kind) is tuple:
        return f"a list, each {_named(get_args(kind)[0])}"
    numbers = f"from {-MOST} to {MOST}"
    return {int: f"a whole number {numbers}", float: f"a number {numbers}", bool: "true or false"}.get(kind, "a text")


def _choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{name} is {value!r}; expected one of {', '.join(choices)}")


def _at_least(name: str, value: float | None, low: float) -> None:
    if value is not None and not value >= low:
        raise ConfigError(f"{name} is {value}; expected at least {low}")
