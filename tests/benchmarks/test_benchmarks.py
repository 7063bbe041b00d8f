"""The benchmarks run, and their figures are of the kind they say."""

import json

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.association import goals
from tracker.errors import DetectionsError


@pytest.fixture(autouse=True)
def threads(monkeypatch):
    """The variables that the benchmark sets for itself are put back."""
    for library in ("OPENBLAS", "MKL", "OMP"):
        monkeypatch.setenv(f"{library}_NUM_THREADS", "1")


def test_association(tmp_path, capsys):
    out = tmp_path / "speed.json"
    assert main(["association", "--objects", "3,6", "--frames", "4", "--warm", "3", "--json", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert {r["objects"] for r in rows} == {3, 6}
    assert {r["tracker"] for r in rows if r["appearance"]} == {"ours default", "ours paper"}
    assert all(r["frames"] == 4 and 0 < r["median_ms"] <= r["p95_ms"] for r in rows)
    assert "6 objects" in capsys.readouterr().out


def test_memory_run(tmp_path):
    out = tmp_path / "memory.json"
    assert main(["association", "--soak", "60", "--json", str(out)]) == 0
    first, last = json.loads(out.read_text())["peak_mb"]
    assert 0 < first <= last


def test_ratios_compare_with_the_best_motion_only_peer():
    def row(objects, tracker, appearance, ms):
        return {"objects": objects, "tracker": tracker, "appearance": appearance, "cpu_ms": ms}

    rows = [row(100, "ours default", True, 2.0), row(1000, "ours default", True, 22.0), row(100, "a", False, 9.0)]
    rows += [row(100, "b", False, 7.0), row(100, "c", True, 1.0), row(100, "deep-sort-realtime", True, 50.0)]
    assert goals(rows) == {
        "deep-sort-realtime over ours at 100": 25.0,
        "fastest motion-only peer over ours at 100": 3.5,
        "default: 1000 over 100 objects": 11.0,
    }


def test_wrong_use_and_errors(monkeypatch, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["nothing"])
    assert stop.value.code == 2

    def fail(args):
        raise DetectionsError("a cause and a remedy")

    monkeypatch.setattr("benchmarks.association.main", fail)
    assert main(["association"]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "error: a cause and a remedy"


def test_the_encoder_is_the_same_in_other_runtimes():
    pytest.importorskip("onnxruntime")
    pytest.importorskip("openvino")
    from benchmarks.runtimes import open_runtimes
    from freeze.api import frozen_default
    from tracker.encoder.runtime import trial_crops

    encoders = open_runtimes(frozen_default("default"))
    assert set(encoders) >= {"ours f32", "openvino f32", "onnxruntime f32"}
    crops = trial_crops(3, (128, 64, 3))
    expected = encoders["ours f32"](crops)
    for name, encode in encoders.items():
        low = name.endswith("bf16")
        np.testing.assert_allclose(encode(crops), expected, atol=2e-2 if low else 1e-4, err_msg=name)
