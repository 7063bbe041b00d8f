"""Files of detections in the forms that are about: MOT rows, CSV, KITTI labels, COCO JSON, YOLO labels.

YOLO's labels are boxes, boxes with keypoints, or outlines of masks and turned boxes.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tracker.core.text import label, parse_json
from tracker.errors import DetectionsError

OBJECT = "object"
EXPECTED = (
    "expected MOT rows frame,id,left,top,width,height,score, CSV with a header, KITTI labels, COCO JSON, "
    "or a folder of YOLO labels"
)
KITTI = (
    "car", "van", "truck", "pedestrian", "person", "person_sitting", "cyclist", "tram", "misc", "dontcare",
)  # fmt: skip
_COLUMNS = {
    "frame": ("frame", "frame_id", "frame_index", "frame_number", "frame_no", "frameid", "image_id", "fn"),
    "left": ("left", "x", "x1", "xmin", "x_min", "bb_left", "bbox_left", "bbox_x", "bbox_x1", "box_x"),
    "top": ("top", "y", "y1", "ymin", "y_min", "bb_top", "bbox_top", "bbox_y", "bbox_y1", "box_y"),
    "centre_x": ("cx", "xc", "x_center", "x_centre", "center_x", "centre_x", "bbox_cx"),
    "centre_y": ("cy", "yc", "y_center", "y_centre", "center_y", "centre_y", "bbox_cy"),
    "width": ("width", "w", "bb_width", "bbox_width", "bbox_w", "box_w"),
    "height": ("height", "h", "bb_height", "bbox_height", "bbox_h", "box_h"),
    "right": ("right", "x2", "xmax", "x_max", "bb_right", "bbox_right", "bbox_x2"),
    "bottom": ("bottom", "y2", "ymax", "y_max", "bb_bottom", "bbox_bottom", "bbox_y2"),
    "score": ("score", "conf", "confidence", "prob", "probability"),
    "name": ("name", "class_name", "label", "category", "type"),
    "class": ("class", "class_id", "cls", "category_id"),
}
"""Names of a CSV's columns, in lower case, by what they hold."""


@dataclass
class Rows:
    """Detections of a file, R of them.

    Attributes
    ----------
    frame : np.ndarray
        (R,) int64, as the file counts.
    xyxy : np.ndarray
        (R,4) float64 corners, in pixels, or as shares of the frame where `relative`.
    score, class_id : np.ndarray
        (R,) float64 and int32.
    names : tuple of str
        By class id.
    form : str
        What the file is, for people.
    """

    frame: np.ndarray
    xyxy: np.ndarray
    score: np.ndarray
    class_id: np.ndarray
    names: tuple[str, ...] = (OBJECT,)
    form: str = "MOT rows"
    relative: bool = False
    notes: list[str] = field(default_factory=list)


def read(path: Path) -> Rows:
    """The detections in a file or folder, in whichever form they are.

    Raises
    ------
    DetectionsError
        Nothing there, nothing that is text, a form that is not known, or a broken line, which is named.
    """
    if path.is_dir():
        return _folder(path)
    text = _text(path)
    if path.suffix.lower() == ".json":
        return _coco(path, text)
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line.strip() and not line.lstrip().startswith("#")]
    if lines and _is_header(lines[0][1]):
        return _with_header(path, lines)
    if lines and len(lines[0][1].split()) >= 17 and "," not in lines[0][1]:
        return _table(path, lines, _kitti_line, "KITTI labels")
    return _table(path, lines, _mot_line, "MOT rows")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DetectionsError(f"{path}: no such file; {EXPECTED}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DetectionsError(f"{path}: cannot be read as text ({error}); {EXPECTED}") from None


Line = tuple[float, tuple[float, float, float, float], float, str]
"""Frame, corners, score, class."""


def _fields(line: str) -> list[str]:
    separator = next((s for s in (",", ";", "\t") if s in line), None)
    return [f.strip() for f in line.strip().rstrip(",;").split(separator)]


def _table(path: Path, lines: Sequence[tuple[int, str]], parse: Callable[[list[str]], Line | None], form: str) -> Rows:
    found: list[Line] = []
    for number, line in lines:
        try:
            row = parse(_fields(line))
        except (ValueError, IndexError, OverflowError):
            raise DetectionsError(
                f"{path}, line {number}: {label(line.strip()[:60])!r}; {EXPECTED}; mend or remove the line"
            ) from None
        if row is not None:
            found.append(row)
    return _rows(found, form)


def _rows(found: Sequence[Line], form: str, relative: bool = False) -> Rows:
    names = tuple(dict.fromkeys(label(row[3]) for row in found)) or (OBJECT,)
    number = {name: k for k, name in enumerate(names)}
    return Rows(
        np.array([row[0] for row in found], np.int64),
        np.array([row[1] for row in found], np.float64).reshape(-1, 4),
        np.array([row[2] for row in found], np.float64),
        np.array([number[label(row[3])] for row in found], np.int32),
        names, form, relative,
    )  # fmt: skip


def _frame(text: str) -> float:
    value = float(text)
    if not (0 <= value < 2**53 and value.is_integer()):
        raise ValueError(text)
    return value


def _mot_line(fields: list[str]) -> Line:
    x, y, w, h = (float(f) for f in fields[2:6])
    return _frame(fields[0]), (x, y, x + w, y + h), float(fields[6]) if len(fields) > 6 else 1.0, OBJECT


def _kitti_line(fields: list[str]) -> Line | None:
    """`frame id type truncated occluded alpha left top right bottom ...`, the score in the 18th column."""
    kind = fields[2]
    if kind.lower() not in KITTI:
        raise ValueError(kind)
    x1, y1, x2, y2 = (float(f) for f in fields[6:10])
    score = float(fields[17]) if len(fields) > 17 else 1.0
    return None if kind == "DontCare" else (_frame(fields[0]), (x1, y1, x2, y2), score, kind.lower())


def _is_header(line: str) -> bool:
    return sum(_meaning(f) is not None for f in _fields(line)) >= 5


def _meaning(name: str) -> str | None:
    plain = name.strip().strip('"').lower().replace(" ", "_")
    return next((key for key, names in _COLUMNS.items() if plain in names), None)


def _with_header(path: Path, lines: Sequence[tuple[int, str]]) -> Rows:
    """CSV, its columns known by their names: sizes or right and bottom edges."""
    header = _fields(lines[0][1])
    place: dict[str, int] = {}
    for k, name in enumerate(header):
        place.setdefault(_meaning(name) or f"?{k}", k)
    corners = "right" in place and "bottom" in place
    centred = not corners and "left" not in place and "centre_x" in place
    first = ("centre_x", "centre_y") if centred else ("left", "top")
    missing = [c for c in ("frame", *first) if c not in place]
    if missing or not (corners or {"width", "height"} <= place.keys()):
        wanted = ", ".join(missing) or "width and height, or right and bottom"
        raise DetectionsError(f"{path}: its header {label(lines[0][1])} names no column for {wanted}; {EXPECTED}")

    kinds = [c for c in ("name", "class") if c in place]  # a name tells more than a number

    def parse(fields: list[str]) -> Line:
        x, y = (float(fields[place[c]]) for c in first)
        a, b = (float(fields[place[c]]) for c in (("right", "bottom") if corners else ("width", "height")))
        x, y = (x - a / 2, y - b / 2) if centred else (x, y)
        box = (x, y, a, b) if corners else (x, y, x + a, y + b)
        score = float(fields[place["score"]]) if "score" in place else 1.0
        kind = fields[place[kinds[0]]] if kinds else OBJECT
        return _frame(fields[place["frame"]]), box, score, f"class {kind}" if kind.isdecimal() else kind

    separator = next((s for s in (",", ";", "\t") if s in lines[0][1]), ",")
    rows = list(csv.reader((line for _, line in lines[1:]), delimiter=separator))
    texts = dict(zip((number for number, _ in lines[1:]), rows, strict=False))
    found = []
    for number, fields in texts.items():
        try:
            found.append(parse([f.strip() for f in fields]))
        except (ValueError, IndexError, OverflowError):
            raise DetectionsError(
                f"{path}, line {number}: {label(','.join(fields)[:60])!r} does not fit the header "
                f"{label(','.join(header)[:80])}; mend or remove the line"
            ) from None
    return _rows(found, "CSV with a header")


def _coco(path: Path, text: str) -> Rows:
    """A list of results, or a whole data set: boxes are [left, top, width, height] in pixels."""
    try:
        data = parse_json(text)
        entries = data["annotations"] if isinstance(data, dict) else data
        names = {c["id"]: str(c["name"]) for c in data.get("categories", [])} if isinstance(data, dict) else {}
        frames = _image_frames(data.get("images", [])) if isinstance(data, dict) else {}
        boxed = [entry for entry in entries if entry.get("bbox")]
        if entries and not boxed:
            raise ValueError(f"no bbox, but {', '.join(map(str, entries[0]))}")
        found = [_coco_entry(entry, names, frames) for entry in boxed]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise DetectionsError(
            f"{path}: not COCO JSON ({type(error).__name__}: {label(str(error)[:80])}); expected a list of objects "
            "with image_id, category_id, bbox and score, or a data set with annotations"
        ) from None
    rows = _rows(found, "COCO JSON")
    if len(boxed) < len(entries):
        rows.notes.append(f"{path}: {len(entries) - len(boxed)} of {len(entries)} annotations have no bbox")
    return rows


def _coco_entry(entry: dict[str, Any], names: dict[Any, str], frames: dict[Any, int]) -> Line:
    x, y, w, h = (float(v) for v in entry["bbox"])
    image, kind = entry["image_id"], entry.get("category_id", 0)
    frame = frames[image] if image in frames else _frame(str(_number(str(image), 0)))
    return frame, (x, y, x + w, y + h), float(entry.get("score", 1.0)), names.get(kind, f"class {kind}")


def _image_frames(images: Iterable[dict[str, Any]]) -> dict[Any, int]:
    """Frame numbers by image id: what the file says, else the number in the name, else the order."""
    images = list(images)
    return {
        image["id"]: int(image.get("frame_id") or image.get("frame_index") or _number(image.get("file_name", ""), k))
        for k, image in enumerate(images, 1)
    }


def _number(name: str, instead: int) -> int:
    digits = re.findall(r"\d+", Path(name).stem)
    return int(digits[-1][-15:]) if digits else instead


def _folder(path: Path) -> Rows:
    """A label file a frame, its number in its name: YOLO's `class x y w h [score [id]]` as shares, or KITTI's."""
    files = sorted(p for p in path.iterdir() if p.suffix.lower() == ".txt" and p.name.lower() != "classes.txt")
    if not files:
        others = ", ".join(sorted({p.suffix.lower() for p in path.iterdir() if p.suffix})[:4])
        met = f" but with {label(others)}" if others else ""
        raise DetectionsError(f"{path}: a folder without label files (.txt){met}; {EXPECTED}")
    names, kitti, outlines = _class_names(path), False, 0
    found: list[Line] = []
    for order, file in enumerate(files, 1):
        frame = _number(file.name, order)
        for number, line in enumerate(_text(file).splitlines(), 1):
            if not line.strip():
                continue
            fields = line.split()
            try:
                kitti = fields[0].lower() in KITTI
                row = _kitti_line([str(frame), "-1", *fields]) if kitti else _yolo_line(frame, fields, names)
            except (ValueError, IndexError, OverflowError):
                raise DetectionsError(
                    f"{file}, line {number}: {label(line.strip()[:60])!r}; expected class x y width height [score] as "
                    "shares of the frame (YOLO), or KITTI's 15 columns; mend or remove the line"
                ) from None
            if row is not None:
                found.append(row)
                outlines += not kitti and _is_outline(fields)
    rows = _rows(found, "KITTI labels" if kitti else "YOLO labels", relative=not kitti)
    if outlines:
        rows.notes.append(
            f"{path}: {outlines} labels are outlines of masks or turned boxes; the boxes around them are used"
        )
    return rows


def _yolo_line(frame: int, fields: list[str], names: Sequence[str]) -> Line:
    kind, numbers = int(float(fields[0])), [float(f) for f in fields[1:]]
    x, y, w, h = numbers[:4]
    if max(abs(x), abs(y), w, h) > 2:
        raise ValueError("not shares")
    box = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
    score = numbers[4] if 4 < len(numbers) < 7 else 1.0
    if _is_outline(fields):
        if len(numbers) % 2:
            raise ValueError("no pairs of coordinates")
        box = (min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2]))
    name = names[kind] if 0 <= kind < len(names) else f"class {kind}"
    return frame, box, score, name


def _is_outline(fields: Sequence[str]) -> bool:
    """Points around the object follow the class, at least four, and not a box with points and their visibility."""
    more = [float(f) for f in fields[5:]]
    return len(more) > 3 and not (len(more) % 3 == 0 and all(v in (0, 1, 2) for v in more[2::3]))


def _class_names(folder: Path) -> list[str]:
    """Lines of `classes.txt` in the folder or the one above."""
    for place in (folder, folder.parent):
        if (place / "classes.txt").is_file():
            return _text(place / "classes.txt").splitlines()
    return []
