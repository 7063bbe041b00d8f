"""OpenCV, from any of its packages: what to install where none loads, and where two overwrite each other.

`python -m tracker.core.opencv [EXTRA...]` prints what this program requires besides OpenCV, a line each, for
`pip install -r`: pip does not know that `opencv-python-headless` serves as well.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from tracker.core.text import warn
from tracker.errors import BackendMissingError

OURS = "deepsort-tracker"
HEADLESS = "opencv-python-headless"


def check_opencv() -> None:
    """Load OpenCV, from whichever of its packages is installed; tell of two whose files may not go together.

    Raises
    ------
    BackendMissingError
        It does not load; the message names the command that mends that.
    """
    found = installed()
    try:
        import cv2  # noqa: F401
    except ImportError as e:
        if len(found) > 1:
            remedy = _keep_one(found)
        elif ".so" in str(e):  # libGL and the like, which machines without a display lack
            remedy = f"on a machine without a display take the package without windows: {_instead(found, HEADLESS)}"
        else:
            remedy = f"install it: {sys.executable} -m pip install opencv-python"
        raise BackendMissingError(f"OpenCV does not load ({e}); {remedy}") from None
    if len(set(found.values())) > 1:
        warn(f"warning: {_keep_one(found)}")


def installed() -> dict[str, str]:
    """Versions of OpenCV's packages by their names: they all put one module into one folder."""
    spec = find_spec("cv2")
    if spec is None or spec.origin is None:
        return {}
    found = {}
    for path in Path(spec.origin).parents[1].glob("opencv_*.dist-info"):
        name, _, version = path.name.removesuffix(".dist-info").partition("-")
        found[name.replace("_", "-")] = version
    return dict(sorted(found.items()))


def _keep_one(found: dict[str, str]) -> str:
    several = " and ".join(f"{name} {version}" for name, version in found.items())
    kept = HEADLESS if HEADLESS in found else next(iter(found))
    return f"{several} overwrite each other's files; keep one: {_instead(found, kept)}"


def _instead(found: dict[str, str], kept: str) -> str:
    """The commands that leave one package."""
    pip = f"{sys.executable} -m pip"
    return f"{pip} uninstall -y {' '.join(found) or 'opencv-python'} && {pip} install --force-reinstall {kept}"


def others(extras: Sequence[str] = ()) -> list[str]:
    """What the installed program requires besides OpenCV, as lines of a requirements file.

    Raises
    ------
    BackendMissingError
        The program is not installed.
    """
    try:
        required = metadata.requires(OURS) or []
    except metadata.PackageNotFoundError:
        raise BackendMissingError(f"{OURS} is not installed; pip install --no-deps . first") from None
    lines = []
    for line in required:
        extra = re.search(r"""\s*(?:;|and)\s*extra == ["']([\w-]+)["']""", line)
        if not _brings_opencv(line) and (extra is None or extra[1] in extras):
            lines.append(line[: extra.start()] if extra else line)
    return lines


def _brings_opencv(line: str) -> bool:
    """A requirement is a package of OpenCV, or is installed and requires one itself."""
    name = re.split(r"[^\w.-]", line, maxsplit=1)[0]
    try:
        needs = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        needs = []
    return any(each.startswith("opencv-") for each in (name, *needs))


if __name__ == "__main__":
    try:
        print("\n".join(others(sys.argv[1:])))
    except BackendMissingError as error:
        sys.exit(f"error: {error}")
