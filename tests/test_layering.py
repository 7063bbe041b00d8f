"""Which package may import which: reads the imports (AST), holds the table below, and finds circles of modules."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PACKAGES = ("tracker", "freeze", "detectors", "videos", "benchmarks")

_FREEZE = {"freeze.errors", "freeze.request", "freeze.sniff", "freeze.model", "freeze.job", "tracker.errors"}
"""The ground floor of `freeze`."""

ALLOWED = {
    "tracker": {"tracker.core", "tracker.app"},
    "tracker.errors": set(),
    "tracker.core": {"tracker.errors"},
    "tracker.tracking": {"tracker.core", "tracker.errors"},
    "tracker.video": {"tracker.core", "tracker.errors"},
    "tracker.encoder": {"tracker.core", "tracker.errors"},
    "tracker.answers": {"tracker.core", "tracker.errors"},
    "tracker.serve": {"tracker.answers", "tracker.core", "tracker.video", "tracker.errors"},
    "tracker.app": {
        "tracker",
        "tracker.errors",
        "tracker.core",
        "tracker.tracking",
        "tracker.video",
        "tracker.encoder",
        "tracker.answers",
        "tracker.serve",
        "detectors",
        "freeze",
        "freeze.errors",
        "freeze.request",
        "freeze.sniff",
    },
    "detectors": {"tracker.core", "tracker.errors", "detectors.runners"},
    "detectors.runners": {"tracker.core", "tracker.errors"},
    "videos": {"tracker.core", "tracker.errors"},
    "freeze": {
        "tracker.core",
        "tracker.encoder",
        "tracker.errors",
        "freeze.errors",
        "freeze.request",
        "freeze.sniff",
        "freeze.model",
        "freeze.job",
        "freeze.checks",
        "freeze.graph",
        "freeze.load",
        "freeze.networks",
        "freeze.passes",
        "freeze.proof",
        "freeze.export",
        "freeze.report",
        "freeze.training",
        "freeze.formats",
    },
    "freeze.errors": {"tracker.errors"},
    "freeze.request": {"freeze.errors", "tracker.errors"},
    "freeze.sniff": {"freeze.errors", "tracker.core"},
    "freeze.model": {"freeze.graph"},
    "freeze.job": {"freeze.errors", "freeze.graph", "freeze.model", "freeze.request"},
    "freeze.graph": {"freeze.errors", "tracker.core", "tracker.errors"},
    "freeze.load": {*_FREEZE, "freeze.graph", "freeze.networks", "tracker.core", "tracker.encoder"},
    "freeze.checks": {*_FREEZE, "freeze.graph", "tracker.core"},
    "freeze.passes": {*_FREEZE, "freeze.graph", "freeze.load", "tracker.core"},
    "freeze.proof": {
        *_FREEZE,
        "freeze.graph",
        "freeze.checks",
        "freeze.passes",
        "freeze.export",
        "tracker.core",
        "tracker.encoder",
    },
    "freeze.export": {*_FREEZE, "freeze.graph", "tracker.core", "tracker.encoder"},
    "freeze.report": {*_FREEZE, "freeze.graph", "freeze.checks", "freeze.load", "tracker.core", "tracker.encoder"},
    "freeze.networks": {"freeze.errors", "tracker.core", "tracker.errors"},
    "freeze.formats": {*_FREEZE, "freeze.graph", "freeze.training", "tracker.core", "tracker.encoder"},
    "freeze.training": {*_FREEZE, "freeze.networks", "tracker.core", "tracker.encoder", "tracker.video"},
    "benchmarks": {"tracker", "freeze", "detectors", "videos"},
}
"""Package -> packages that its modules may import besides their own. A row speaks for its package alone, not for those
inside it; benchmarks stand above everything and may reach into all packages."""


def package_of(module: str) -> str:
    """The row of the table that a module stands in: the longest that names it or a package above it."""
    parts = module.split(".")
    return next(".".join(parts[:k]) for k in range(len(parts), 0, -1) if ".".join(parts[:k]) in ALLOWED)


def module_files() -> dict[str, Path]:
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


MODULES = module_files()


def imports(path: Path) -> set[str]:
    """Project modules imported in a file, inside functions too; not under `if TYPE_CHECKING`, which no run meets."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            skipped |= {id(n) for n in ast.walk(node)}
    found = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            found |= {m if (m := f"{node.module}.{a.name}") in MODULES else node.module for a in node.names}
    return {name for name in found if name in MODULES}


@pytest.mark.parametrize("module", [m for m in MODULES if not m.endswith("__main__")])
def test_packages_import_only_what_the_table_allows(module):
    own = package_of(module)
    for name in imports(MODULES[module]):
        other = package_of(name)
        fine = other == own or other in ALLOWED[own] or own == "benchmarks"
        assert fine, f"{module} imports {name}: {own} may not import {other}"


def test_no_module_imports_itself_through_others():
    graph = {m: imports(path) - {m} for m, path in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        pytest.fail("a circle of imports: " + " -> ".join(circle.args[1]))


def test_no_package_stands_below_itself():
    """`tracker` itself holds only the door to what users import, late."""
    rows = {row: allowed - {"tracker"} for row, allowed in ALLOWED.items() if row not in ("tracker", "benchmarks")}
    try:
        TopologicalSorter(rows).prepare()
    except CycleError as circle:
        pytest.fail("a circle of packages: " + " -> ".join(circle.args[1]))


def test_tracking_knows_neither_pixels_nor_files():
    foreign = {"cv2", "av", "tensorflow", "openvino", "pathlib", "os"}
    for module, path in MODULES.items():
        if package_of(module) == "tracker.tracking":
            tree = ast.parse(path.read_text(encoding="utf-8"))
            names = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
            names |= {n.module.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module}
            assert not names & foreign, f"{module} imports {sorted(names & foreign)}"
