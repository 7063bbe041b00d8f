"""Files: names, the cache folder, whole writes, and model files refused before a parser meets them."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import IO, Self

from tracker.core.text import SHOWN_BYTES, shorten
from tracker.core.text import quoted as quoted
from tracker.errors import DetectorError, OutputError

_WINDOWS = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""Names that are devices on Windows, whatever their suffix."""


def path_component(name: str, instead: str = "run") -> str:
    """A name from a file, an address or a model as one component of a path, on any system.

    No separator, control character or byte that is not UTF-8; no dots or blanks at its ends, so no `..` and nothing
    hidden; no name that Windows keeps for itself; at most 100 bytes. `instead` where nothing is left.
    """
    clean = "".join(c if c.isprintable() and c not in '<>:"/\\|?*' else "_" for c in name)
    clean = re.sub(r"_{2,}", "_", shorten(clean, SHOWN_BYTES)).strip(" ._") if clean != name else name
    clean = shorten(clean, SHOWN_BYTES).strip(" .")
    return f"_{clean}" if _WINDOWS.fullmatch(clean) else clean or instead


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
    DetectorError
        The file is missing, unreadable, empty, an HTML page or a git-lfs pointer.
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


def part_of(path: Path) -> Path:
    """The name under which a file is written until it is whole."""
    return path.with_name(f".{path.name}.part")


def write_whole(path: Path, text: str) -> None:
    """Replace a file's text at once; raises OutputError and leaves the old file where that fails."""
    try:
        part_of(path).write_text(text, encoding="utf-8")
        os.replace(part_of(path), path)
    except OSError as e:
        with suppress(OSError):
            part_of(path).unlink(missing_ok=True)
        raise failed(path, e) from None


def failed(path: Path, error: Exception) -> OutputError:
    """The error that says a path cannot be written, why, and what to do."""
    return OutputError(
        f"{path}: cannot be written ({getattr(error, 'strerror', None) or error}); "
        "free space or choose another --output folder"
    )


class FileSink:
    """A file written beside its place and moved there when closed; what a full disk cut off is dropped."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._good = 0
        try:
            self._file: IO[bytes] | None = open(part_of(path), "w+b", buffering=0)  # noqa: SIM115 (closed by close)
        except OSError as e:
            raise failed(path, e) from None

    def append(self, data: bytes) -> None:
        """Write a whole record; on failure the file ends with the record before."""
        if self._file is None:
            raise OutputError(f"{self.path}: is closed")
        view = memoryview(data)
        try:
            while view:
                view = view[self._file.write(view) :]
            self._good += len(data)
        except OSError as e:
            with suppress(OSError):
                self._file.truncate(self._good)
                self._file.seek(self._good)
            raise failed(self.path, e) from None

    def close(self) -> None:
        """Move the file to its place; a second call does nothing."""
        file, self._file = self._file, None
        if file is None:
            return
        try:
            file.close()
            os.replace(part_of(self.path), self.path)
        except OSError as e:
            raise failed(self.path, e) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

