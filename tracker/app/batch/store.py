"""What a batch keeps in its output folder: finished videos, parts of unfinished ones, what failed, a summary."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

import tracker
from tracker.app.batch.plan import Part, Video
from tracker.app.batch.rows import Rows
from tracker.app.batch.worker import Choice, Tracked
from tracker.app.config import RunConfig
from tracker.core.files import create, failed, replacing, write_whole
from tracker.core.text import csv_field, parse_json
from tracker.errors import OutputError

RECORD = "batch.json"
FAILURES = "failed.csv"
SUMMARY = "summary.csv"
VIDEOS = "videos"
DATASET = "dataset"


class Store:
    """The output folder of a batch.

    Parameters
    ----------
    root : Path
        The folder; made if needed.
    resume : bool
        Take up what an earlier call left.
    overwrite : bool
        Do again and replace what an earlier call left.

    Raises
    ------
    OutputError
        It cannot be written, or holds an earlier batch and neither was asked for, or one of another version.
    """

    def __init__(self, root: Path, *, resume: bool, overwrite: bool) -> None:
        self.root, self._resume = root, resume
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise failed(root, e) from None
        record = root / RECORD
        if record.exists() and not overwrite:
            if not resume:
                raise OutputError(f"{root}: holds a batch already; give --resume, --overwrite, or another --output")
            if (version := _version(record)) != tracker.__version__:
                raise OutputError(
                    f"{root}: was written by version {version}, this is {tracker.__version__}; give --overwrite to do "
                    "everything again, or another --output"
                )
        write_whole(record, json.dumps({"version": tracker.__version__}) + "\n")

    def folder(self, video: Video) -> Path:
        """Where a finished video's results are."""
        return self.root / VIDEOS / video.name

    def is_done(self, video: Video, key: str) -> bool:
        """Whether an earlier call finished the same video with the same settings."""
        return self._resume and read_json(self.folder(video) / "summary.json").get("key") == key

    def draft(self, video: Video) -> Path:
        """An empty folder to write a video's results to."""
        folder = self._draft(video)
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        except OSError as e:
            raise failed(folder, e) from None
        return folder

    def publish(self, video: Video) -> None:
        """Move a draft that is whole to its place."""
        folder = self.folder(video)
        try:
            shutil.rmtree(folder, ignore_errors=True)
            self._draft(video).rename(folder)
            shutil.rmtree(self._parts(video), ignore_errors=True)
            with suppress(OSError):
                self._parts(video).parent.rmdir()
        except OSError as e:
            raise failed(folder, e) from None

    def _draft(self, video: Video) -> Path:
        return self.root / VIDEOS / f".{video.name}.part"

    # ---- parts ----------------------------------------------------------------------------------

    def _parts(self, video: Video) -> Path:
        return self.root / ".parts" / video.name

    def _part(self, video: Video, key: str, part: Part) -> Path:
        return self._parts(video) / f"{key[:16]}-{part.start}-{part.first}-{part.last or 'end'}.npz"

    def keep(self, video: Video, key: str, part: Part, tracked: Tracked) -> None:
        """Keep a part until its video is whole."""
        path = self._part(video, key, part)
        meta = {k: v for k, v in vars(tracked).items() if k != "rows"}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as beside, create(beside) as file:
                np.savez_compressed(file, meta=np.array(json.dumps(meta)), **vars(tracked.rows))
        except OSError as e:
            raise failed(path, e) from None

    def _choice(self, video: Video, key: str) -> Path:
        return self._parts(video) / f"{key[:16]}-choice.json"

    def keep_choice(self, video: Video, key: str, choice: Choice) -> None:
        """Keep how a video's parts are looked at until it is whole."""
        path = self._choice(video, key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise failed(path, e) from None
        write_whole(path, json.dumps(vars(choice)) + "\n")

    def kept_choice(self, video: Video, key: str) -> Choice | None:
        """How the parts of a video that are kept were looked at; None where none was kept."""
        data = read_json(self._choice(video, key))
        return Choice(data["settings"], data["warnings"]) if data.keys() == {"settings", "warnings"} else None

    def kept(self, video: Video, key: str, part: Part) -> Tracked | None:
        """A part that this or an earlier call kept; None where there is none that is whole."""
        try:
            with np.load(self._part(video, key, part), allow_pickle=False) as file:
                meta = parse_json(str(file["meta"]))
                rows = Rows(*(file[name] for name in Rows.__dataclass_fields__))
        except (OSError, ValueError, KeyError, EOFError):
            return None
        meta |= {"size": tuple(meta["size"]), "class_names": tuple(meta["class_names"])}
        return Tracked(rows=rows, **meta)

    # ---- at the root ----------------------------------------------------------------------------

    def write_failed(self, errors: dict[str, str]) -> None:
        """`failed.csv`: each video that could not be tracked, and why; none where all could."""
        path = self.root / FAILURES
        if errors:
            rows = (f"{csv_field(video)},{csv_field(error)}\n" for video, error in errors.items())
            write_whole(path, "video,error\n" + "".join(rows))
        else:
            path.unlink(missing_ok=True)

    def write_summary(self, videos: Sequence[Video]) -> None:
        """`summary.csv`: one row a finished video."""
        rows = []
        for video in videos:
            data = read_json(self.folder(video) / "summary.json")
            if "key" in data:
                objects = data.get("objects", {})
                names = {"video": video.name, "camera": video.camera, "path": str(video.path)}
                rows.append(
                    names
                    | {"start": data.get("start_time") or ""}
                    | {k: data[k] for k in ("frames", "duration_s", "tracks", "elapsed_s")}
                    | {"objects": "; ".join(f"{name} {count}" for name, count in objects.items())}
                )  # fmt: skip
        if rows:
            lines = [",".join(rows[0]), *(",".join(map(_field, row.values())) for row in rows)]
            write_whole(self.root / SUMMARY, "\n".join(lines) + "\n")


def _field(value: object) -> str:
    """A value as a CSV field; names come from strangers' files."""
    return csv_field(value) if isinstance(value, str) else str(value)


def key_of(video: Video, config: RunConfig, split_s: float | None, overlap_s: float) -> str:
    """What a video's results depend on, as a hash: the file, the settings, how it is cut, the version."""
    stat = video.path.stat()
    given = {
        "path": str(video.path.resolve()), "size": stat.st_size, "changed": stat.st_mtime_ns, "split": split_s,
        "overlap": overlap_s if split_s else None, "version": tracker.__version__, "camera": video.camera,
        "config": asdict(replace(config, sources=())),
    }  # fmt: skip
    return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is none that can be read."""
    try:
        data = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _version(record: Path) -> str:
    return str(read_json(record).get("version", "unknown"))
