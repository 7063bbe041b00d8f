"""What a user draws on the picture: lines, zones, ignored areas and a piece of ground of known size.

A scene file is TOML; its points are shares of the frame, so that it fits any resolution of the same camera:

    format = 1
    size = [1280, 720]                        # of the picture that it was drawn on

    [[line]]
    name = "north"
    points = [[0.23, 0.71], [0.7, 0.71]]
    directions = ["to town", "from town"]     # to the right hand, to the left hand; may be left out

    [[zone]]
    name = "stop"
    points = [[0.1, 0.5], [0.3, 0.5], [0.3, 0.8], [0.1, 0.8]]

    [[ignore]]
    name = "barrels"
    points = [...]

    [ground]                                  # a rectangle on the ground, as the camera shows it
    points = [[0.4, 0.5], [0.6, 0.5], [0.9, 0.9], [0.1, 0.9]]
    sides_m = [7.5, 40.0]                     # from the first point to the second, from the second to the third
    unit = "km/h"                             # or "mph"
"""

from __future__ import annotations

import tomllib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tracker.errors import ConfigError

FORMAT = 1
DIRECTIONS = ("left to right", "right to left")
"""As one sees it who stands on a line's first point and looks to its second."""
UNITS = {"km/h": 3.6, "mph": 3600 / 1609.344}
"""Units of speed by their name, and how many of each make a metre per second."""
ASPECT_TOLERANCE = 0.02
"""Largest relative difference of width by height between a scene's picture and a frame: rounding to even sides."""
LONGEST_NAME = 80
MOST_SHAPES = 200
MOST_POINTS = 200
MOST = 10**9
"""Of whole numbers in a file, which TOML does not bound."""

Size = tuple[int, int]


@dataclass(frozen=True)
class Line:
    """A segment from `start` to `end` that objects cross.

    Attributes
    ----------
    points : (2,2) ndarray of float64
        Shares of the frame's width and height.
    directions : tuple[str, str]
        What a crossing is called that goes to the right hand, and to the left hand, of one who stands on the first
        point and looks to the second.
    """

    name: str
    points: np.ndarray
    directions: tuple[str, str] = DIRECTIONS


@dataclass(frozen=True)
class Zone:
    """An area, points (N,2) float64 as shares of the frame."""

    name: str
    points: np.ndarray


@dataclass(frozen=True)
class Ground:
    """A rectangle on the ground of known sides.

    Attributes
    ----------
    points : (4,2) ndarray of float64
        Its corners in the picture, in turn, as shares of the frame.
    sides_m : tuple[float, float]
        Metres from the first corner to the second, and from the second to the third.
    unit : str
        Of speeds, a key of `UNITS`.
    """

    points: np.ndarray
    sides_m: tuple[float, float]
    unit: str = "km/h"


@dataclass(frozen=True)
class Scene:
    """Everything drawn on the picture of one camera; `size` is that of the picture where it is known."""

    lines: tuple[Line, ...] = ()
    zones: tuple[Zone, ...] = ()
    ignored: tuple[Zone, ...] = ()
    ground: Ground | None = None
    size: Size | None = None

    def __post_init__(self) -> None:
        for kind, shapes in (("line", self.lines), ("zone", self.zones), ("ignored area", self.ignored)):
            names = [s.name for s in shapes]
            if twice := {n for n in names if names.count(n) > 1}:
                raise ConfigError(f"two of the {kind}s are called {min(twice)!r}; give each a name of its own")
            if len(names) > MOST_SHAPES:
                raise ConfigError(f"{len(names)} {kind}s; expected at most {MOST_SHAPES}")

    def __bool__(self) -> bool:
        return bool(self.lines or self.zones or self.ignored or self.ground)

    def __add__(self, other: Scene) -> Scene:
        """Both scenes together; the other's ground stands before this one's."""
        return Scene(
            self.lines + other.lines,
            self.zones + other.zones,
            self.ignored + other.ignored,
            other.ground or self.ground,
            other.size or self.size,
        )

    def check_fits(self, size: Size) -> None:
        """Raise ConfigError where the scene was drawn on a picture of another shape than a frame of `size`."""
        if self.size is None:
            return
        mine, theirs = self.size[0] / self.size[1], size[0] / size[1]
        if abs(mine / theirs - 1) > ASPECT_TOLERANCE:
            raise ConfigError(
                f"the scene was drawn on a picture of {self.size[0]}x{self.size[1]}, the frames are of another shape, "
                f"{size[0]}x{size[1]}; draw it anew: python -m tracker scene VIDEO"
            )


# ---- from options ---------------------------------------------------------------------------------


def parse_line(text: str, size: Size) -> Line:
    """`NAME=X1,Y1,X2,Y2`, pixels of a frame of `size`, or `NAME=X1,Y1,X2,Y2:TO THE RIGHT/TO THE LEFT`."""
    form = 'NAME=X1,Y1,X2,Y2 or NAME=X1,Y1,X2,Y2:"to town/from town"'
    name, _, rest = text.partition("=")
    numbers, colon, words = rest.partition(":")
    directions = tuple(w.strip() for w in words.split("/")) if colon else DIRECTIONS
    if len(directions) != 2:
        raise ConfigError(f"--line {text!r}: {len(directions)} names of directions; expected {form}")
    return _line(name, _pixels(numbers, size, f"--line {text!r}", form, 2, 2), directions, f"--line {text!r}")


def parse_zone(text: str, size: Size, option: str = "--zone") -> Zone:
    """`NAME=X1,Y1,X2,Y2,X3,Y3,...`, pixels of a frame of `size`."""
    form = "NAME=X1,Y1,X2,Y2,X3,Y3,..."
    name, _, numbers = text.partition("=")
    where = f"{option} {text!r}"
    return _zone(name, _pixels(numbers, size, where, form, 3, MOST_POINTS), where)


def parse_ground(text: str, size: Size, unit: str = "km/h") -> Ground:
    """`WIDTHxLENGTH=X1,Y1,X2,Y2,X3,Y3,X4,Y4`, metres and pixels of a frame of `size`."""
    form = "WIDTHxLENGTH=X1,Y1,X2,Y2,X3,Y3,X4,Y4 (metres, then four corners)"
    sides, _, numbers = text.partition("=")
    where = f"--ground {text!r}"
    try:
        metres = [float(v) for v in sides.lower().removesuffix("m").split("x")]
    except ValueError:
        metres = []
    if len(metres) != 2:
        raise ConfigError(f"{where}: expected {form}")
    return _ground(_pixels(numbers, size, where, form, 4, 4), metres, unit, where)


def _pixels(text: str, size: Size, where: str, form: str, least: int, most: int) -> np.ndarray:
    """Numbers with commas between them as points, shares of the frame."""
    try:
        values = [float(v) for v in text.split(",")]
    except ValueError:
        values = []
    if len(values) % 2 or not least <= len(values) // 2 <= most:
        raise ConfigError(f"{where}: expected {form}")
    points = np.array(values).reshape(-1, 2)
    outside = ~(np.isfinite(points) & (points >= 0) & (points <= size)).all(axis=1)
    if outside.any():
        x, y = points[outside][0].tolist()
        raise ConfigError(f"{where}: the point {x:g},{y:g} lies outside the frame of {size[0]}x{size[1]} pixels")
    return points / size


# ---- checks that every shape passes -----------------------------------------------------------------


def _name(name: Any, where: str) -> str:
    """A name that can be printed and drawn, without what steers a terminal."""
    if not isinstance(name, str) or not (name := name.strip()):
        raise ConfigError(f"{where}: has no name; expected a text such as north")
    if len(name) > LONGEST_NAME:
        raise ConfigError(f"{where}: a name of {len(name)} letters; expected at most {LONGEST_NAME}")
    if any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") for c in name):
        raise ConfigError(f"{where}: the name {name!a} holds control characters; expected plain text")
    return name


def _line(name: Any, points: np.ndarray, directions: Sequence[Any], where: str) -> Line:
    name = _name(name, where)
    if np.abs(points[0] - points[1]).max() < 1e-6:
        raise ConfigError(f"{where}: both points of the line lie on one spot; expected two apart")
    there, back = (_name(d, f"{where}, direction") for d in directions)
    if there == back:
        raise ConfigError(f"{where}: both directions are called {there!r}; expected two names")
    return Line(name, points, (there, back))


def _zone(name: Any, points: np.ndarray, where: str) -> Zone:
    name = _name(name, where)
    _check_polygon(points, where, "zone")
    return Zone(name, points)


def _check_polygon(points: np.ndarray, where: str, what: str) -> None:
    from shapely.geometry import Polygon  # late: `--help` reads this module

    polygon = Polygon(points)
    if not polygon.is_valid or polygon.area < 1e-8:
        met = "its sides cross each other" if polygon.convex_hull.area > 1e-8 else "it has no area"
        raise ConfigError(f"{where}: no {what}: {met}; give its corners in turn, as one walks around it")


def _ground(points: np.ndarray, sides_m: Sequence[float], unit: str, where: str) -> Ground:
    if not isinstance(unit, str) or unit not in UNITS:
        raise ConfigError(f"{where}: unit {_short(unit)}; expected one of {', '.join(UNITS)}")
    _check_polygon(points, where, "quadrilateral")
    following = np.roll(points, -1, axis=0) - points
    turns = following[:, 0] * np.roll(following[:, 1], -1) - following[:, 1] * np.roll(following[:, 0], -1)
    if not ((turns > 1e-9).all() or (turns < -1e-9).all()):
        raise ConfigError(
            f"{where}: the four points are no quadrilateral that a rectangle on the ground can be seen as: one lies "
            "inside the others or on a side; give the corners in turn"
        )
    if len(sides_m) == 4 and sides_m[0] == sides_m[2] and sides_m[1] == sides_m[3]:
        sides_m = sides_m[:2]
    if len(sides_m) != 2 or not all(np.isfinite(s) and 0 < s < 1e5 for s in sides_m):
        raise ConfigError(
            f"{where}: sides of {', '.join(f'{s:g}' for s in sides_m)} m; expected two lengths in metres, from the "
            "first point to the second and from the second to the third"
        )
    return Ground(points, (float(sides_m[0]), float(sides_m[1])), unit)


# ---- files ------------------------------------------------------------------------------------------


def read_scene(path: Path) -> Scene:
    """A scene file.

    Raises
    ------
    ConfigError
        It cannot be read, is no TOML, or holds a shape or key that makes no sense; the message names it.
    """
    try:
        data = tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"{path}: cannot be read ({getattr(e, 'strerror', None) or 'no text'})") from None
    except (ValueError, RecursionError) as e:  # TOMLDecodeError, and numbers of thousands of digits
        raise ConfigError(f"{path}: is not TOML ({e}); python -m tracker scene VIDEO draws a scene") from None
    return scene_from(data, str(path))


def scene_from(data: dict[str, Any], where: str) -> Scene:
    """A scene from what its TOML or JSON holds; raises ConfigError as `read_scene` does."""
    _check_keys(data, {"format", "size", "line", "zone", "ignore", "ground"}, where)
    if data.get("format", FORMAT) != FORMAT:
        raise ConfigError(f"{where}: format {_short(data['format'])}; this version reads format {FORMAT}")
    lines = [
        _line(s.get("name"), _shares(s, at, 2, 2), _pair(s.get("directions", DIRECTIONS), at), at)
        for s, at in _tables(data, "line", where, {"name", "points", "directions"})
    ]
    zones, ignored = (
        [_zone(s.get("name"), _shares(s, at, 3, MOST_POINTS), at) for s, at in _tables(data, key, where, _ZONE_KEYS)]
        for key in ("zone", "ignore")
    )
    ground = None
    if (table := data.get("ground")) is not None:
        at = f"{where}: [ground]"
        _check_keys(table, {"points", "sides_m", "unit"}, at)
        sides = table.get("sides_m")
        if not isinstance(sides, list) or not all(_is_number(v) for v in sides):
            raise ConfigError(f"{at}: sides_m is {_short(sides)}; expected two lengths in metres, as [7.5, 40]")
        ground = _ground(_shares(table, at, 4, 4), sides, table.get("unit", "km/h"), at)
    return Scene(tuple(lines), tuple(zones), tuple(ignored), ground, _size(data.get("size"), where))


_ZONE_KEYS = {"name", "points"}


def _check_keys(table: Any, known: set[str], where: str) -> None:
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: is {_short(table)}; expected a table")
    if unknown := sorted(set(table) - known):
        raise ConfigError(f"{where}: unknown key {_short(unknown[0])}; it knows {', '.join(sorted(known))}")


def _tables(data: dict[str, Any], key: str, where: str, known: set[str]) -> list[tuple[dict[str, Any], str]]:
    """The tables of an array, each with the words that name it in a message."""
    tables = data.get(key, [])
    if not isinstance(tables, list):
        raise ConfigError(f"{where}: {key} is {_short(tables)}; expected [[{key}]] tables")
    found = []
    for number, table in enumerate(tables, 1):
        name = table.get("name") if isinstance(table, dict) else None
        at = f"{where}: [[{key}]] {ascii(name[:LONGEST_NAME]) if isinstance(name, str) else number}"
        _check_keys(table, known, at)
        found.append((table, at))
    return found


def _is_number(value: Any) -> bool:
    if isinstance(value, float):
        return True
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MOST


def _short(value: Any) -> str:
    """A value as a message shows it, however long a stranger made it."""
    text = repr(value)
    return text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}..."


def _shares(table: dict[str, Any], where: str, least: int, most: int) -> np.ndarray:
    points = table.get("points")
    count = f"{least}" if least == most else f"{least} to {most}"
    if (
        not isinstance(points, list)
        or not all(isinstance(p, list) and len(p) == 2 and all(_is_number(v) for v in p) for p in points)
        or not least <= len(points) <= most
    ):
        raise ConfigError(f"{where}: points are {_short(points)}; expected {count} points [x, y]")
    array = np.array(points, np.float64)
    if not (np.isfinite(array) & (array >= 0) & (array <= 1)).all():
        raise ConfigError(f"{where}: a point lies outside the frame; expected shares of its width and height, 0 to 1")
    return array


def _pair(value: Any, where: str) -> Sequence[Any]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ConfigError(f'{where}: directions are {_short(value)}; expected two names, as ["to town", "from town"]')
    return value


def _size(value: Any, where: str) -> Size | None:
    if value is None:
        return None
    whole = isinstance(value, list) and all(_is_number(v) and isinstance(v, int) for v in value)
    if not whole or len(value) != 2 or not all(0 < v < 1e5 for v in value):
        raise ConfigError(f"{where}: size is {_short(value)}; expected [width, height] in pixels")
    return value[0], value[1]


def as_data(scene: Scene) -> dict[str, Any]:
    """A scene as the tables of its file; `scene_from` reads them back."""

    def points(array: np.ndarray) -> list[list[float]]:
        return [[round(v, 6) for v in p] for p in array.tolist()]

    data: dict[str, Any] = {"format": FORMAT}
    if scene.size:
        data["size"] = list(scene.size)
    data["line"] = [
        {"name": line.name, "points": points(line.points)}
        | ({} if line.directions == DIRECTIONS else {"directions": list(line.directions)})
        for line in scene.lines
    ]
    data["zone"] = [{"name": z.name, "points": points(z.points)} for z in scene.zones]
    data["ignore"] = [{"name": z.name, "points": points(z.points)} for z in scene.ignored]
    if (g := scene.ground) is not None:
        data["ground"] = {"points": points(g.points), "sides_m": list(g.sides_m), "unit": g.unit}
    return {k: v for k, v in data.items() if v != []}


def to_toml(scene: Scene) -> str:
    """The scene as the text of its file."""
    import tomli_w

    return tomli_w.dumps(as_data(scene))


def with_unit(scene: Scene, unit: str) -> Scene:
    """The scene with its speeds in another unit."""
    return scene if scene.ground is None else replace(scene, ground=replace(scene.ground, unit=unit))


@dataclass(frozen=True)
class SceneOptions:
    """A scene as options give it: a file, and shapes in pixels, which only a frame's size turns to shares."""

    file: Path | None = None
    lines: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    ground: str | None = None
    unit: str | None = None

    def scene(self, size: Size) -> Scene:
        """The scene for frames of `size`; raises ConfigError."""
        scene = Scene()
        if self.file is not None:
            scene = read_scene(self.file)
            scene.check_fits(size)
        scene = scene + Scene(
            tuple(parse_line(t, size) for t in self.lines),
            tuple(parse_zone(t, size) for t in self.zones),
            tuple(parse_zone(t, size, "--ignore") for t in self.ignored),
            parse_ground(self.ground, size) if self.ground else None,
            size,
        )
        return with_unit(scene, self.unit) if self.unit else scene
