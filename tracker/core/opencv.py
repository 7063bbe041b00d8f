"""OpenCV, any of its packages: what to install where none loads."""

from __future__ import annotations

import sys

from tracker.errors import BackendMissingError


def check_opencv() -> None:
    """Load OpenCV, from `opencv-python` or, as well, from `opencv-python-headless`.

    Raises
    ------
    BackendMissingError
        It does not load; the message names the command that mends that.
    """
    try:
        import cv2  # noqa: F401
    except ImportError as e:
        pip = f"{sys.executable} -m pip"
        remedy = f"install it: {pip} install opencv-python"
        if ".so" in str(e):  # libGL and the like, which machines without a display lack
            remedy = (
                "on a machine without a display take the package without windows: "
                f"{pip} uninstall -y opencv-python && {pip} install --force-reinstall opencv-python-headless"
            )
        raise BackendMissingError(f"OpenCV does not load ({e}); {remedy}") from None
