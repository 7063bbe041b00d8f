"""Model files checked before a parser meets them, and the user's cache folder."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from tracker.errors import DetectorError


def cache_folder() -> Path:
    """Where fetched and derived models are kept: $TRACKER_CACHE, else the user's cache folder."""
    if override := os.environ.get("TRACKER_CACHE"):
        return Path(override).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("deepsort-tracker", appauthor=False)


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model_bytes(path: Path) -> bytes:
    """A model file's bytes, after refusing the two things that downloads leave in its place.

    Raises
    ------
    DetectorError : the file is missing, unreadable, empty, an HTML page or a git-lfs pointer.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DetectorError(f"{path}: no such file; check the path given to --detector") from None
    except OSError as error:
        raise DetectorError(f"{path}: cannot be read ({error.strerror}); expected a model file") from None
    start = data[:200].lstrip().lower()
    if not data:
        raise DetectorError(f"{path}: the file is empty; download it again")
    if start.startswith(b"version https://git-lfs"):
        raise DetectorError(f"{path}: this is a git-lfs pointer, not the model; run `git lfs pull` where it came from")
    if start.startswith((b"<!doctype", b"<html", b"<head")):
        raise DetectorError(f"{path}: this is an HTML page, not a model; download the raw file itself")
    return data


def write_atomic(path: Path, data: bytes) -> None:
    """Write beside the target, then rename: a reader never meets half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
