"""Files: the cache folder, whole writes, and model files refused before a parser meets them."""

import os
from pathlib import Path

from tracker.errors import DetectorError, OutputError


def cache_folder(*parts: str) -> Path:
    """The folder `parts` inside the user's cache, made if needed.

    `TRACKER_CACHE` names another place than the platform's own. Raises OutputError where it cannot be made.
    """
    root = os.environ.get("TRACKER_CACHE")
    if not root:
        from platformdirs import user_cache_path

        root = str(user_cache_path("deepsort-tracker"))
    folder = Path(root).joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise OutputError(
            f"cannot make the cache folder {folder} ({e.strerror}); set TRACKER_CACHE to a writable folder"
        ) from e
    return folder


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
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
