"""Pictures of strangers: names that no encoding can write, sizes that no memory holds."""

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from tests.scenes import SIZE, image
from tracker.answers.report import picture
from tracker.core.images import read_picture
from tracker.video.sources import open_source

LATIN = os.fsdecode(b"caf\xe9")


@pytest.fixture
def folder(tmp_path):
    try:
        (tmp_path / LATIN).mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    return tmp_path / LATIN


@pytest.mark.parametrize("suffix", [".tif", ".webp", ".png"])
def test_pictures_and_pages_of_a_name_that_is_not_utf8(folder, suffix):
    path, pages = folder / f"{LATIN}{suffix}", 1 if suffix == ".png" else 5
    made = folder.parent / f"a{suffix}"
    assert cv2.imwritemulti(str(made), [image(k) for k in range(pages)])
    made.rename(path)
    assert read_picture(path).shape == (SIZE[1], SIZE[0], 3)
    with open_source(str(path)) as source:
        assert [f.index for f in source] == list(range(1, pages + 1))


def test_a_picture_of_a_report_in_a_folder_that_is_not_utf8(folder):
    (folder / "background.jpg").write_bytes(cv2.imencode(".jpg", image(1))[1].tobytes())
    assert picture(folder / "background.jpg").startswith("data:image/jpeg") and picture(folder / "none.jpg") is None


def test_a_picture_that_promises_too_many_pixels_is_none(tmp_path):
    """In a process of its own: OpenCV reads its limit when it is loaded."""
    path = tmp_path / "large.png"
    path.write_bytes(cv2.imencode(".png", np.zeros((1 << 12, 1 << 12), np.uint8))[1].tobytes())
    code = """
import os, pathlib, sys, tracker
assert "cv2" not in sys.modules
from tracker.core.images import read_picture
print(os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"], read_picture(pathlib.Path(sys.argv[1])) is None)
"""
    for given, told in (({}, "268435456 False"), ({"OPENCV_IO_MAX_IMAGE_PIXELS": "1048576"}, "1048576 True")):
        clean = {k: v for k, v in os.environ.items() if k != "OPENCV_IO_MAX_IMAGE_PIXELS"}
        done = subprocess.run(
            [sys.executable, "-c", code, path], capture_output=True, text=True, env={**clean, **given}
        )
        assert done.stdout.strip() == told, done.stderr
