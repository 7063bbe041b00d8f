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


def test_every_file_of_the_packages_is_installed():
    """What is no module is named in `package_data`, by the package that it lies in or below."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    patterns = {key: value.split(", ") for key, value in config["options.package_data"].items()}
    modules = [
        p for name in ("tracker", "freeze", "detectors", "videos", "benchmarks") for p in (ROOT / name).rglob("*")
    ]
    for path in (p for p in modules if p.is_file() and p.suffix not in (".py", ".pyc")):
        package = next(p for p in path.parents if (p / "__init__.py").exists())
        name, inside = ".".join(package.relative_to(ROOT).parts), path.relative_to(package)
        named = [*(patterns["*"] if inside.parent == Path() else ()), *patterns.get(name, ())]
        assert any(inside.match(pattern) for pattern in named), f"{path.relative_to(ROOT)} is not installed"


def test_packages_carry_their_types():
    assert all((ROOT / package / "py.typed").exists() for package in ("tracker", "freeze", "detectors"))
