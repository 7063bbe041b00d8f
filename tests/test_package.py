"""What the package says of itself: one version number, names that load when asked for, types for its users."""

import re
from configparser import ConfigParser
from pathlib import Path

import tracker

ROOT = Path(__file__).resolve().parents[1]


def test_one_version_number():
    config = ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    assert config["metadata"]["version"] == "attr: tracker.__version__"
    top = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    cited = re.search(r"^version: (\S+)", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    assert top and cited and top[1] == cited[1] == tracker.__version__


def test_names_are_shown_before_they_are_loaded_and_load():
    assert set(dir(tracker)) == {*tracker.__all__, "__version__"}
    assert all(getattr(tracker, name) is not None for name in dir(tracker))


def test_packages_carry_their_types():
    assert all((ROOT / package / "py.typed").exists() for package in ("tracker", "freeze", "detectors"))
