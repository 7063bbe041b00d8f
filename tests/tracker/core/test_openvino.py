"""OpenVINO is imported at one place, where its telemetry is left out."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_layering import MODULES

pytest.importorskip("openvino")
IMPORTED = """
import sys
from tracker.core.openvino import import_openvino
import_openvino()
print([name for name, module in sys.modules.items() if name.startswith("openvino_telemetry") and module is not None])
"""

MEETING = """
import os, sys, threading
from tracker.core.openvino import import_openvino
ov = import_openvino()
sys.setswitchinterval(1e-7)
meet = threading.Barrier(4)
def work():
    meet.wait()
    ov.Type.u8.to_dtype()
threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
for t in threads: t.start()
for t in threads: t.join()
"""


def test_what_sends_reports_is_never_imported():
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("turn", range(3))
def test_threads_that_use_arrays_at_once_do_not_lock_each_other_out(turn):
    """Without a first use alone three of four processes hang."""
    subprocess.run([sys.executable, "-c", MEETING], check=True, timeout=60)


def _imports(path: Path) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(a.name == "openvino" for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names)


def test_no_module_imports_openvino_itself():
    assert [module for module, path in MODULES.items() if _imports(path)] == []
