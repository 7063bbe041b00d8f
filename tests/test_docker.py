"""The Dockerfile installs what there is."""

import configparser
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_image_installs_extras_that_exist():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    text = (ROOT / "Dockerfile").read_text()
    extras = re.search(r"pip install '\.\[([\w,]+)\]'", text)[1].split(",")
    assert set(extras) <= set(setup["options.extras_require"]) and {"batch", "live"} <= set(extras)
    assert re.search(r"FROM python:3\.\d+-slim", text)
