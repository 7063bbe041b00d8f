"""Files: names, the cache folder, whole writes, and model files refused before a parser meets them."""

from __future__ import annotations

import atexit
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, Self

from tracker.core.text import SHOWN_BYTES, shorten, warn
from tracker.errors import DetectorError, OutputError, TrackerError

CACHE_ROOM = 32 << 20
"""Bytes that must be free for a cache to be used: the largest network kept takes a part of that."""
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


def not_inside(path: str) -> bool:
    """A relative path from a file leads, or may lead on some system, out of the folder that the file is in."""
    parts = re.split(r"[/\\]", path)
    return not path or "\0" in path or ".." in parts or not parts[0] or ":" in parts[0]


def unique(name: str, taken: set[str]) -> str:
    """The first of `name`, `name-2`, ... that is not taken, also where case does not count; takes it."""
    number, free = 1, name
    while free.casefold() in taken:
        number += 1
        free = f"{name}-{number}"
    taken.add(free.casefold())
    return free


def cache_folder(*parts: str) -> Path:
    """The folder `parts` inside the user's cache, made if needed.

    `TRACKER_CACHE` names another place than the platform's own. A cache is no need: where it cannot be written, a
    temporary one stands in for it, which is told once, and holds what the other holds.

    Raises
    ------
    OutputError
        Neither can be written.
    """
    root = os.environ.get("TRACKER_CACHE")
    if not root:
        from platformdirs import user_cache_path

        root = str(user_cache_path("deepsort-tracker"))
    folder = _usable_cache(root).joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise OutputError(
            f"cannot make the cache folder {folder} ({e.strerror}); set TRACKER_CACHE to a writable folder"
        ) from e
    return folder


_stand_ins: set[Path] = set()


@cache
def _usable_cache(root: str) -> Path:
    """The cache itself, or a temporary one that is gone with the process."""
    if Path(root) in _stand_ins:
        return Path(root)
    try:
        Path(root).mkdir(parents=True, exist_ok=True)
        with create(Path(root, f".probe-{os.getpid()}")) as file:
            file.write(b"x")
        Path(root, f".probe-{os.getpid()}").unlink()
        if shutil.disk_usage(root).free >= CACHE_ROOM:
            return Path(root)
        reason = "No space left on device"
    except OSError as e:
        reason = e.strerror or str(e)
    try:
        stand_in = Path(tempfile.mkdtemp(prefix="tracker-cache-"))
        atexit.register(shutil.rmtree, stand_in, ignore_errors=True)
        for path in Path(root).glob("*/**/*") if os.access(root, os.R_OK | os.X_OK) else ():
            if path.is_file() and not path.name.startswith("."):
                link = stand_in / path.relative_to(root)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path.resolve())
    except OSError as e:
        raise OutputError(
            f"the cache folder {root} cannot be written ({reason}), nor a temporary one ({e.strerror}); free space, or "
            "set TRACKER_CACHE to a writable folder"
        ) from None
    warn(f"warning: the cache {root} cannot be written ({reason}): a temporary folder is used, and nothing is kept")
    _stand_ins.add(stand_in)
    os.environ["TRACKER_CACHE"] = str(stand_in)  # for the processes that are started from here
    return stand_in


def no_model(head: bytes) -> str:
    """`html` or `git-lfs` for the two things that downloads leave in a model's place, else nothing.

    Parameters
    ----------
    head : bytes
        How the file begins, a kilobyte or so.
    """
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<head")) or b"<html" in text[:1024]:
        return "html"
    return "git-lfs" if text.startswith(b"version https://git-lfs") else ""


def model_bytes(path: Path, error: type[TrackerError] = DetectorError) -> bytes:
    """A model file's bytes, after refusing what downloads leave in its place.

    Parameters
    ----------
    error : type, optional
        Raised for a file that is missing, unreadable, empty, an HTML page or a git-lfs pointer.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise error(f"{path}: no such file; check the path") from None
    except OSError as e:
        raise error(f"{path}: cannot be read ({e.strerror}); expected a model file") from None
    if not data:
        raise error(f"{path}: the file is empty; download it again")
    match no_model(data[:1024]):
        case "git-lfs":
            raise error(f"{path}: this is a git-lfs pointer, not the model; run `git lfs pull` where it came from")
        case "html":
            raise error(f"{path}: this is an HTML page, not a model; download the raw file itself")
    return data


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside `path` to write a file to, which takes its place when the block ends: nobody meets half a file.

    Where the block fails, what stood there stays. Processes write the same file each under a name of its own.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.unlink(missing_ok=True)  # whatever waits there: no link is followed
        yield beside
        os.replace(beside, path)
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def write_atomic(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Replace a file's bytes at once; OSError where that cannot be."""
    with replacing(path) as beside, create(beside, mode) as file:
        write_all(file, data)


def create(path: Path, mode: int = 0o666) -> IO[bytes]:
    """A new, empty file to write to, without a buffer; what stood there goes, and no link is followed.

    Raises
    ------
    OSError
        It cannot be made, or somebody makes it at the same time.
    """
    path.unlink(missing_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, mode), "w+b", buffering=0)


def write_whole(path: Path, text: str, *, private: bool = False) -> None:
    """Replace a file's text at once.

    Parameters
    ----------
    private : bool, optional
        Readable by its owner alone, for what holds a secret.

    Raises
    ------
    OutputError
        It cannot be written; the old file stays.
    """
    try:
        write_atomic(path, text.encode("utf-8", "backslashreplace"), 0o600 if private else 0o666)
    except OSError as e:
        raise failed(path, e) from None


def write_all(file: IO[bytes], data: bytes | memoryview) -> None:
    """Write every byte: a file without a buffer may take a part of them at a time."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def failed(path: Path, error: Exception) -> OutputError:
    """The error that says a path cannot be written, why, and what to do, whichever command writes it."""
    return OutputError(
        f"{path}: cannot be written ({getattr(error, 'strerror', None) or error}); "
        "free space, allow writing there, or choose another folder"
    )


def vanished(folder: Path) -> OutputError:
    """The error that says a folder is no longer where results are written."""
    return OutputError(
        f"{folder}: was removed, moved or unmounted while the run wrote to it, and its files with it; "
        "run again with an --output folder that stays"
    )


def is_under(file: IO[bytes], path: Path) -> bool:
    """Whether an open file is the one that `path` names."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path, follow_symlinks=False))
    except OSError:
        return False


def part_of(path: Path) -> Path:
    """The name under which a file that grows is written until it is closed."""
    return path.with_name(f".{path.name}.part")


class FileSink:
    """A file written beside its place and moved there when closed; what a full disk cut off is dropped.

    Parameters
    ----------
    path : Path
        Its place.
    header : str
        What it begins with; where that cannot be written, no file is left.
    """

    def __init__(self, path: Path, header: str = "") -> None:
        self.path = path
        self._good = 0
        try:
            self._file: IO[bytes] | None = create(part_of(path))
        except OSError as e:
            raise failed(path, e) from None
        try:
            self.append(header.encode())
        except OutputError:
            self._file.close()
            with suppress(OSError):
                part_of(path).unlink()
            raise

    def append(self, data: bytes) -> None:
        """Write a whole record; on failure the file ends with the record before."""
        if self._file is None:
            raise OutputError(f"{self.path}: is closed")
        try:
            write_all(self._file, data)
            self._good += len(data)
        except OSError as e:
            with suppress(OSError):
                self._file.truncate(self._good)
                self._file.seek(self._good)
            raise failed(self.path, e) from None

    @property
    def in_place(self) -> bool:
        """The file is still the one under its name: nobody removed, moved or unmounted its folder."""
        return self._file is None or is_under(self._file, part_of(self.path))

    def close(self) -> None:
        """Move the file to its place; a second call does nothing."""
        file, self._file = self._file, None
        if file is None:
            return
        try:
            file.close()
            os.replace(part_of(self.path), self.path)
        except FileNotFoundError:
            raise vanished(self.path.parent) from None
        except OSError as e:
            raise failed(self.path, e) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
