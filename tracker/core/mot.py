"""MOTChallenge files: rows of tracks, and a sequence's `seqinfo.ini`."""

from __future__ import annotations

import configparser
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracker.core.boxes import xyxy_to_tlwh
from tracker.core.files import not_inside
from tracker.core.types import Tracks
from tracker.errors import DetectionsError, SourceError

MOST_FRAMES, MOST_FPS, MOST_SIDE = 10**9, 1000, 65_535
"""What a sequence may state: a year at 25 frames per second, no faster than a high-speed camera, a picture's limits."""


@dataclass(frozen=True)
class SequenceInfo:
    """What `seqinfo.ini` says: folder of the images, frames per second, number of frames, (width, height) in pixels."""

    name: str
    images: str
    fps: float
    frames: int
    size: tuple[int, int]
    extension: str


def read_seqinfo(folder: Path) -> SequenceInfo:
    """Read a sequence folder's `seqinfo.ini`.

    Raises
    ------
    SourceError
        The file is missing, broken, or lacks a key or a sensible number.
    """
    path = folder / "seqinfo.ini"
    parser = configparser.ConfigParser(interpolation=None)
    try:
        with open(path, encoding="utf-8-sig") as file:
            parser.read_file(file)
        section = parser["Sequence"]
        info = SequenceInfo(
            name=section.get("name", folder.name),
            images=section.get("imDir", "img1"),
            fps=float(section.get("frameRate", "25")),
            frames=int(section["seqLength"]),
            size=(int(section["imWidth"]), int(section["imHeight"])),
            extension=section.get("imExt", ".jpg"),
        )
    except (OSError, UnicodeDecodeError, configparser.Error, KeyError, ValueError) as e:
        reason = f"no key {e}" if isinstance(e, KeyError) else str(e).splitlines()[0]
        raise SourceError(
            f"{path} cannot be read ({reason}); "
            "expected a section [Sequence] with frameRate, seqLength, imWidth, imHeight"
        ) from None
    if not (1 <= info.frames <= MOST_FRAMES and 0.001 <= info.fps <= MOST_FPS and min(info.size) >= 1):
        raise SourceError(
            f"{path} states {info.frames} frames of {info.size} at {info.fps:g} fps; expected positive numbers, "
            f"up to {MOST_FPS} fps"
        )
    if max(info.size) > MOST_SIDE:
        raise SourceError(f"{path} states frames of {info.size}; expected at most {MOST_SIDE} pixels a side")
    if not_inside(info.images):
        raise SourceError(f"{path}: imDir is {info.images!r}; expected a folder inside the sequence, such as img1")
    return info


def format_rows(frame_index: int, tracks: Tracks) -> str:
    """MOT rows `frame,id,left,top,width,height,score,-1,-1,-1`, one line per track, two decimals of a pixel."""
    tlwh = xyxy_to_tlwh(tracks.xyxy)
    return "".join(
        f"{frame_index},{i},{x:.2f},{y:.2f},{w:.2f},{h:.2f},{s:.4f},-1,-1,-1\n"
        for i, (x, y, w, h), s in zip(tracks.id.tolist(), tlwh.tolist(), tracks.score.tolist(), strict=True)
    )


_MISSING = (np.nan,) * 6 + (1.0,) + (np.nan,) * 3
"""What stands in columns that a row does not have."""


def read_rows(path: Path, columns: int = 7) -> np.ndarray:
    """Rows of a MOT file of tracks, detections or ground truth.

    Parameters
    ----------
    path : Path
        Numbers between commas or blanks, a row a line; columns past `columns` are not looked at.
    columns : int, optional
        From 6 to 10.

    Returns
    -------
    numpy.ndarray
        (N, columns) float64: frame, id, left, top, width, height, score, class, visibility. Columns that a row lacks
        are NaN, a missing score is 1.

    Raises
    ------
    DetectionsError
        The file cannot be read, or a line is not numbers, has fewer than six, or begins with no frame number; the
        message names its number.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise DetectionsError(f"{path}: no such file; expected rows in MOT format") from None
    except (OSError, UnicodeDecodeError) as e:
        raise DetectionsError(f"{path}: cannot be read as text ({e}); expected rows in MOT format") from None
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        fields = line.strip().rstrip(",").split("," if "," in line else None)[:columns]
        try:
            values = [float(v) for v in fields]
        except ValueError:
            values = []
        if len(values) < 6 or not (1 <= values[0] <= MOST_FRAMES and values[0].is_integer()):
            raise DetectionsError(
                f"{path}, line {number}: {line.strip()[:60]!r}; expected frame,id,left,top,width,height,score "
                "with a whole frame number from 1; mend or remove the line"
            )
        rows.append([*values, *_MISSING[len(values) : columns]])
    return np.array(rows, np.float64).reshape(-1, columns)
