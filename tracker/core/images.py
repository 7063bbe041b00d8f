"""Picture files, read so that neither their names nor their sizes harm."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

import cv2
import numpy as np


def read_picture(path: Path, flags: int = cv2.IMREAD_COLOR) -> np.ndarray | None:
    """The first page, (H,W,3) BGR; None where it cannot be read.

    Parameters
    ----------
    flags : int, optional
        OpenCV's, of what becomes of depth and colour.
    """
    try:
        data = np.fromfile(path, np.uint8)
        return cv2.imdecode(data, flags) if data.size else None
    except (cv2.error, OSError, ValueError, MemoryError):
        return None


def opencv_name(path: Path) -> tuple[str, IO[bytes] | None]:
    """A name by which OpenCV opens a file, and what must stay open meanwhile.

    A name that is not UTF-8 kills the process inside OpenCV: the open file is named in its place.

    Raises
    ------
    OSError, UnicodeError
        It cannot be opened, or not under another name.
    """
    try:
        str(path).encode()
        return str(path), None
    except UnicodeEncodeError:
        if not os.path.isdir("/dev/fd"):
            raise
    file = open(path, "rb")  # noqa: SIM115 (whoever asks closes it)
    return f"/dev/fd/{file.fileno()}", file
