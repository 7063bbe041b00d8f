"""Pages name what there is: paths that exist, and in ARCHITECTURE.md modules, classes, functions and fields."""

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest

from detectors.formats import OBJECT
from detectors.registry import FAMILIES
from freeze.request import Request
from tracker.tracking.trackers import TRACKERS

ROOT = Path(__file__).resolve().parents[1]
FILE = re.compile(r"\.(csv|html|jpg|json|md|mp4|onnx|pb|png|py|toml|txt|xml)$")
PACKAGES = ("tracker", "freeze", "detectors", "videos", "benchmarks")
PAGES = sorted(
    {*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("[!.]*/README.md")} - {ROOT / "CHANGELOG.md"}
)


def spoken(page):
    """What stands between single backticks."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return set(re.findall(r"`([^`\n]+)`", text))


def names():
    """Modules and folders, with and without the folder before; classes, functions, fields and constants."""
    found = {"docs", "tests", *PACKAGES}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found |= {"/".join(parts[k:]) for k in range(len(parts))}
            if path.suffix == ".py":
                for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                    if isinstance(node, ast.ClassDef | ast.FunctionDef):
                        found.add(node.name)
                    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                        found.add(node.id)
                    elif isinstance(node, ast.arg):
                        found.add(node.arg)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_paths_exist(page):
    paths = {
        p for p in spoken(page) if re.fullmatch(r"(tracker|freeze|detectors|videos|benchmarks|tests|docs)/[\w./]+", p)
    }
    gone = [p for p in paths if not any((b / end).exists() for b in (ROOT, page.parent) for end in (p, f"{p}.py"))]
    assert not gone, f"{page.name} names {sorted(gone)}"


def test_architecture_names_what_there_is():
    known = names() | {family.key for family in FAMILIES} | set(TRACKERS) | {OBJECT}
    words = {p.rstrip("/") for p in spoken(ROOT / "ARCHITECTURE.md")}
    said = {p for p in words if re.fullmatch(r"[a-z_]\w*(/[a-z_]\w*)*", p)}
    said |= {p.split(".")[-1] for p in words if re.fullmatch(r"\w+(\.\w+)+", p) and not FILE.search(p)}
    assert not said - known, f"ARCHITECTURE.md names {sorted(said - known)}"


def test_architecture_names_every_package():
    words = {word.rstrip("/") for word in spoken(ROOT / "ARCHITECTURE.md")}
    packages = {path.parent.relative_to(ROOT) for p in PACKAGES for path in (ROOT / p).rglob("__init__.py")}
    missing = sorted(str(p) for p in packages if not {str(p), "/".join(p.parts[-2:]), p.name} & words)
    assert not missing, f"ARCHITECTURE.md does not name {missing}"


def test_options_exist():
    known = {"--help", "--index-url", "--strict"}  # everybody's, pip's and mkdocs's
    known |= {"--address", "--block", "--entrypoint", "--head", "--rm", "--shm-size"}  # Ray's and docker's
    known |= {f"--{no}{f.name.replace('_', '-')}" for f in fields(Request) for no in ("", "no-")}
    for path in (p for package in (*PACKAGES, "tests") for p in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("--"):
                known.add(node.value)
    said = {(o, page.name) for page in PAGES for o in re.findall(r"(?<![\w-])--[a-z][a-z-]+", page.read_text("utf-8"))}
    gone = sorted((o, page) for o, page in said if o not in known)
    assert not gone, f"no command has {gone}"
