"""Modules import only from their left: reads the imports (AST) and holds the order that ARCHITECTURE.md states."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Left to right; a module may import any module to its left in its own package.
ORDER = {
    "tracker": [
        "errors",
        "cache",
        "choices",
        "config",
        "runconfig",
        "boxes",
        "detections",
        "motion",
        "size_motion",
        "clock",
        "confidence",
        "coasting",
        "looks",
        "appearance",
        "assignment",
        "tracks",
        "observation",
        "cascade",
        "overlap",
        "demand",
        "overlap_sort",
        "deepsort",
        "stages",
        "devices",
        "precision",
        "bare_graph",
        "crops",
        "encoder",
        "mot",
        "smooth",
        "camera",
        "flow",
        "footage",
        "live",
        "sources",
        "draw",
        "sinks",
        "video",
        "outputs",
        "timing",
        "steps",
        "channel",
        "governor",
        "pipeline",
        "report",
        "options",
        "assemble",
        "cli",
    ],
}
# What crosses package borders: importer -> modules it may import besides its own package.
CROSSING = {
    "detectors": {
        "tracker.boxes",
        "tracker.cache",
        "tracker.choices",
        "tracker.detections",
        "tracker.devices",
        "tracker.errors",
    },
    "freeze": {"tracker.cache", "tracker.errors", "tracker.precision"},
    "videos": {"tracker.cache", "tracker.errors"},
    "tracker.bare_graph": {"freeze.contract"},
    "tracker.encoder": {"freeze.contract"},
}
# Composition roots may import anything.
ROOTS = {"freeze.reload", "tracker.assemble", "tracker.cli", "tracker.__main__", "freeze.cli", "freeze.__main__"}
PACKAGES = ("tracker", "freeze", "detectors", "videos")


def modules():
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path, ".".join(path.relative_to(ROOT).with_suffix("").parts)


def imports(path):
    """Project modules imported anywhere in a file, `if TYPE_CHECKING` aside: types carry no run-time coupling."""
    tree = ast.parse(path.read_text())
    skipped = {
        id(n)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for n in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            for a in node.names:
                name = f"{node.module}.{a.name}"
                yield name if (ROOT / (name.replace(".", "/") + ".py")).exists() else node.module


@pytest.mark.parametrize("path, module", [pytest.param(p, m, id=m) for p, m in modules()])
def test_imports_point_left(path, module):
    if module in ROOTS:
        return
    package = module.split(".")[0]
    allowed = CROSSING.get(package, set()) | CROSSING.get(module, set())
    order = ORDER.get(package)
    for name in imports(path):
        top = name.split(".")[0]
        if top not in (*PACKAGES, "benchmarks", "tests"):
            continue
        if top != package:
            assert name in allowed, f"{module} imports {name}: crosses packages"
        elif order and name.count(".") == 1 and module.split(".")[1] != "__init__":
            mine, other = module.split(".")[1], name.split(".")[1]
            assert other in order and mine in order, f"{module} imports {name}: not in the order of layers"
            assert order.index(other) < order.index(mine), f"{module} imports {name}: points right"
