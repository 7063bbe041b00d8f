"""The Parquet data set of a batch: tracks and crossings, a file a video, in folders by camera and day."""

from __future__ import annotations

import csv
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from tracker.app.batch.plan import Video
from tracker.app.batch.rows import Rows
from tracker.core.boxes import xyxy_to_tlwh
from tracker.core.classes import class_name
from tracker.core.files import failed, replacing
from tracker.errors import BackendMissingError, OutputError

NO_DAY = "unknown"
"""Folder of videos of which nobody knows when they were made."""


def import_arrow() -> Any:
    """pyarrow, or an error that names the command that installs it."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise BackendMissingError("the data set needs pyarrow; pip install 'deepsort-tracker[batch]'") from None
    return pyarrow


def write_dataset(
    root: Path, video: Video, rows: Rows, class_names: tuple[str, ...], crossings: Path, start: datetime | None
) -> None:
    """Write one video's files, in place of those of an earlier try.

    Parameters
    ----------
    root : Path
        Folder of the data set: `tracks/` and `crossings/`, below them `camera=.../day=.../NAME.parquet`.
    crossings : Path
        The video's `crossings.csv`; where there is none, no such file is written.
    start : datetime, optional
        Moment of the first frame.
    """
    arrow = import_arrow()
    day = start.date().isoformat() if start is not None else NO_DAY
    below = Path(f"camera={quote(video.camera, safe='')}") / f"day={day}" / f"{video.name}.parquet"
    for kind in ("tracks", "crossings"):
        for old in (root / kind).glob(f"*/*/{_literal(video.name)}.parquet"):
            if old != root / kind / below:
                old.unlink()
    _write(arrow, root / "tracks" / below, _tracks(arrow, video, rows, class_names, start))
    if crossings.is_file():
        _write(arrow, root / "crossings" / below, _crossings(arrow, video, crossings))


def _literal(name: str) -> str:
    """A name as a pattern that matches it alone."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _write(arrow: Any, path: Path, table: Any) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as beside:
            arrow.parquet.write_table(table, beside, compression="zstd")
    except (OSError, arrow.ArrowException) as e:
        raise failed(path, e) from None


def _tracks(arrow: Any, video: Video, rows: Rows, class_names: tuple[str, ...], start: datetime | None) -> Any:
    """The rows of `tracks.csv`, rounded as there."""
    tlwh = np.round(xyxy_to_tlwh(rows.xyxy), 2)
    names = {int(c): class_name(class_names, int(c)) for c in np.unique(rows.class_id)}
    columns = {
        "video": arrow.array([video.name] * len(rows), arrow.string()).dictionary_encode(),
        "frame": rows.frame,
        "time_s": np.round(rows.time_s, 3),
        "clock": _clock(arrow, rows.time_s, start),
        "id": rows.id,
        "class": arrow.array([names[c] for c in rows.class_id.tolist()], arrow.string()).dictionary_encode(),
        **{name: tlwh[:, i] for i, name in enumerate(("left", "top", "width", "height"))},
        "score": np.round(rows.score.astype(np.float64), 4),
    }
    return arrow.table(columns)


def _clock(arrow: Any, time_s: np.ndarray, start: datetime | None) -> Any:
    """Moments in UTC; null where the clock is not known."""
    kind = arrow.timestamp("ms", tz="UTC")
    if start is None:
        return arrow.nulls(len(time_s), kind)
    since = round(start.timestamp() * 1000)
    return arrow.array(since + np.round(time_s * 1000).astype(np.int64), arrow.int64()).cast(kind)


def _crossings(arrow: Any, video: Video, path: Path) -> Any:
    """The rows of `crossings.csv`."""
    numbers = {"time_s": float, "id": int, "x": float, "y": float, "speed": float}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            names, found = list(reader.fieldnames or ()), list(reader)
    except (OSError, csv.Error) as e:
        raise OutputError(f"{path}: cannot be read ({e})") from None
    columns: dict[str, Any] = {"video": arrow.array([video.name] * len(found), arrow.string()).dictionary_encode()}
    for name in names:
        values = [row[name] or None for row in found]
        if (kind := numbers.get(name)) is not None:
            arrow_kind = arrow.int64() if kind is int else arrow.float64()
            columns[name] = arrow.array([kind(v) if v is not None else None for v in values], arrow_kind)
        else:
            columns[name] = arrow.array(values, arrow.string())
    return arrow.table(columns)
