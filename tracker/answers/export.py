"""A finished run in the formats of other tools: COCO video, CVAT, Parquet, GeoJSON."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np

from tracker.answers.files import TrackRows
from tracker.answers.ground import GroundPlane
from tracker.answers.scene import Scene, Size
from tracker.core.files import failed, replacing, write_whole
from tracker.errors import BackendMissingError, ConfigError

Row = tuple[int, float, int, str, float, float, float, float, float]
"""Frame, second, id, class, left, top, width, height, score."""


def rows_of(path: Path) -> Iterator[Row]:
    """The rows of a `tracks.csv`; raises DetectionsError where it is broken."""
    rows = TrackRows(path)
    for frame, time_s, tracks in rows:
        for i, c, (x1, y1, x2, y2), s in zip(
            tracks.id.tolist(), tracks.class_id.tolist(), tracks.xyxy.tolist(), tracks.score.tolist(), strict=True
        ):
            yield frame, time_s, i, rows.class_names[c], x1, y1, round(x2 - x1, 2), round(y2 - y1, 2), round(s, 4)


def coco(folder: Path, size: Size, scene: Scene, name: str, frames: int) -> Path:
    """`coco.json`: COCO with `videos`, and `track_id` of each annotation; boxes only predicted have `score` 0."""
    images: dict[int, dict[str, Any]] = {}
    categories: dict[str, int] = {}
    annotations: list[dict[str, Any]] = []
    for frame, time_s, track, label, left, top, width, height, score in rows_of(folder / "tracks.csv"):
        images.setdefault(
            frame,
            {"id": frame, "video_id": 1, "frame_id": frame - 1, "file_name": f"{name}/{frame:06}.jpg",
             "width": size[0], "height": size[1], "time_s": time_s},
        )  # fmt: skip
        annotations.append(
            {"id": len(annotations) + 1, "image_id": frame, "video_id": 1, "track_id": track, "score": score,
             "category_id": categories.setdefault(label, len(categories) + 1), "bbox": [left, top, width, height],
             "area": round(width * height, 2), "iscrowd": 0}
        )  # fmt: skip
    data = {
        "info": {"description": name},
        "videos": [{"id": 1, "name": name, "width": size[0], "height": size[1], "length": frames}],
        "images": list(images.values()),
        "categories": [{"id": number, "name": label} for label, number in categories.items()],
        "annotations": annotations,
    }
    path = folder / "coco.json"
    write_whole(path, json.dumps(data, ensure_ascii=False) + "\n")
    return path


def cvat(folder: Path, size: Size, scene: Scene, name: str, frames: int) -> Path:
    """`cvat.xml`: CVAT for video 1.1, a track an object; frames from 0, `outside` where an object is gone."""
    tracks: defaultdict[int, list[Row]] = defaultdict(list)
    labels: dict[int, str] = {}
    for row in rows_of(folder / "tracks.csv"):
        tracks[row[2]].append(row)
        labels[row[2]] = row[3]
        frames = max(frames, row[0])
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<annotations>", "<version>1.1</version>", "<meta><task>"]
    lines += [f"<name>{_text(name)}</name><size>{frames}</size><mode>interpolation</mode><labels>"]
    lines += [f"<label><name>{_text(label)}</name></label>" for label in dict.fromkeys(labels.values())]
    lines += [f"</labels><original_size><width>{size[0]}</width><height>{size[1]}</height></original_size>"]
    lines += ["</task></meta>"]
    for number, (track, rows) in enumerate(tracks.items()):
        lines.append(
            f"<track id={quoteattr(str(number))} label={quoteattr(labels[track])} source={quoteattr(str(track))}>"
        )
        for row, following in zip(rows, [*rows[1:], None], strict=True):
            lines.append(_box(row, row[0] - 1, outside=False))
            if (following is None and row[0] < frames) or (following is not None and following[0] > row[0] + 1):
                lines.append(_box(row, row[0], outside=True))
        lines.append("</track>")
    path = folder / "cvat.xml"
    write_whole(path, "\n".join([*lines, "</annotations>", ""]))
    return path


def _box(row: Row, frame: int, *, outside: bool) -> str:
    _, _, _, _, left, top, width, height, score = row
    return (
        f'<box frame="{frame}" outside="{int(outside)}" occluded="{int(score == 0)}" keyframe="1" z_order="0" '
        f'xtl="{left:.2f}" ytl="{top:.2f}" xbr="{left + width:.2f}" ybr="{top + height:.2f}"></box>'
    )


def _text(text: str) -> str:
    from xml.sax.saxutils import escape

    return escape(text)


def parquet(folder: Path, size: Size, scene: Scene, name: str, frames: int) -> Path:
    """`tracks.parquet`: the columns of `tracks.csv`, typed; raises BackendMissingError without pyarrow."""
    try:
        import pyarrow
        from pyarrow import parquet as files
    except ImportError:
        raise BackendMissingError(
            "Parquet needs pyarrow, which is not installed; run pip install 'deepsort-tracker[export]'"
        ) from None
    columns = list(zip(*rows_of(folder / "tracks.csv"), strict=True)) or [()] * 9
    names = ("frame", "time_s", "id", "class", "left", "top", "width", "height", "score")
    types = [pyarrow.int32(), pyarrow.float64(), pyarrow.int64(), pyarrow.string(), *[pyarrow.float32()] * 5]
    table = pyarrow.table(
        {n: pyarrow.array(c, t) for n, c, t in zip(names, columns, types, strict=True)},
        metadata={"size": f"{size[0]}x{size[1]}", "source": name},
    )
    path = folder / "tracks.parquet"
    try:
        with replacing(path) as beside:
            files.write_table(table, beside)
    except OSError as e:
        raise failed(path, e) from None
    return path


def geojson(folder: Path, size: Size, scene: Scene, name: str, frames: int) -> Path:
    """`paths.geojson`: the way of each object on the calibrated ground, metres from its first corner.

    The coordinates are local, not those of the globe: GeoJSON's readers draw them all the same.

    Raises
    ------
    ConfigError
        The scene has no ground.
    """
    if scene.ground is None:
        raise ConfigError(
            f"{folder}: the run's scene has no ground; count it with --ground WIDTHxLENGTH=X1,Y1,... first"
        )
    plane = GroundPlane(scene.ground, size)
    ways: defaultdict[int, list[tuple[float, float, float]]] = defaultdict(list)
    labels: dict[int, str] = {}
    for _, time_s, track, label, left, top, width, height, score in rows_of(folder / "tracks.csv"):
        foot = np.array([[left + width / 2, top + height]])
        if score > 0 and plane.contains(foot)[0]:
            x, y = plane.metres(foot)[0].tolist()
            ways[track].append((x, y, time_s))
            labels[track] = label
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "LineString", "coordinates": [[round(x, 2), round(y, 2)] for x, y, _ in way]},
            "properties": {"id": track, "class": labels[track], "times_s": [t for _, _, t in way]},
        }
        for track, way in ways.items()
        if len(way) > 1
    ]
    path = folder / "paths.geojson"
    about = {"type": "FeatureCollection", "name": name, "units": "metres on the ground", "features": features}
    write_whole(path, json.dumps(about, ensure_ascii=False) + "\n")
    return path


FORMATS: dict[str, Callable[[Path, Size, Scene, str, int], Path]] = {
    "coco": coco, "cvat": cvat, "parquet": parquet, "geojson": geojson,
}  # fmt: skip
