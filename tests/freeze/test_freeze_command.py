"""The command `python -m freeze` as a whole, its files, and the cache of `freeze.api`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from freeze import cli
from freeze.api import fingerprint, freeze_cached
from freeze.errors import FreezeError
from freeze.request import Request
from tests.freeze_models import IMAGES, placeholder, right, tiny, trained
from tracker.encoder.contract import Contract

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder with MetaGraph and checkpoint, and the values."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("model")
    return folder, trained(folder, lambda: tf.identity(tiny(placeholder(), training=True), name="features"))


def arguments(folder, out, *more):
    meta = folder / "model.ckpt-7.meta"
    given = ["--meta", meta, "--checkpoint", folder / "model.ckpt-7", "--input", "images", "--output", "features"]
    return [str(a) for a in (*given, "--out", out, *more)]


@pytest.fixture(scope="module")
def written(model, tmp_path_factory):
    """The graph, the report and the output of one run of the command in a process of its own."""
    folder = tmp_path_factory.mktemp("written")
    out, report = folder / "deep" / "encoder.pb", folder / "report.html"
    run = subprocess.run(
        [sys.executable, "-m", "freeze", *arguments(model[0], out, "--report", report)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"},
    )
    assert run.returncode == 0 and run.stderr == "", run.stderr
    return out, report, run.stdout


def test_writes_graph_and_contract_that_the_tracker_loads(model, written):
    from tracker.encoder.runtime import FrozenEncoder

    out, report, said = written
    assert "BATCH_NORM_TRAINING" in said and "moving" in said and "proved" in said and "frozen" in said
    contract = Contract.beside(out)
    assert contract.proof["max_abs_difference"] <= 1e-5 and contract.proof["reload_difference"] <= 1e-5
    assert [r["code"] for r in contract.repairs if r["kind"] == "repair"].count("BATCH_NORM_TRAINING") == 2
    assert sorted(p.name for p in out.parent.iterdir()) == ["encoder.json", "encoder.pb"]
    with FrozenEncoder.open(out, device="cpu", precision="f32") as encoder:
        np.testing.assert_allclose(encoder.encode(IMAGES), right(model[1]), atol=1e-5)
    page = report.read_text()
    assert "BATCH_NORM_TRAINING" in page and "<svg" in page


def test_bfloat16_is_proved_against_float32_and_reported(model, tmp_path):
    out = tmp_path / "low.pb"
    report, events = tmp_path / "report.json", tmp_path / "events"
    more = ("--precision", "bf16", "--report", report, "--tensorboard", events)
    assert cli.main(arguments(model[0], out, *more)) == 0
    contract = Contract.beside(out)
    assert contract.precision == "bf16" and contract.proof["cosine_to_f32"] > 0.999
    assert contract.proof["f32"]["max_abs_difference"] <= 1e-5
    assert json.loads(report.read_text())["contract"]["proof"]["cosine_to_f32"] == contract.proof["cosine_to_f32"]
    assert all(list((events / p).glob("events.out.tfevents.*")) for p in ("before", "after"))


def test_freezes_once_for_the_same_sources(model, written, tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKER_CACHE", str(tmp_path))
    folder, _ = model
    names = {"input": "images", "output": "features"}
    request = Request(meta=folder / "model.ckpt-7.meta", checkpoint=folder / "model.ckpt-7", **names)
    path = freeze_cached(request)
    assert path.read_bytes() == written[0].read_bytes(), "one model gives one graph to the byte"
    assert path.with_suffix(".json").read_text() == written[0].with_suffix(".json").read_text()
    first = path.stat().st_mtime_ns
    assert freeze_cached(request) == path and path.stat().st_mtime_ns == first
    other = Request(meta=folder / "model.ckpt-7.meta", checkpoint=folder / "model.ckpt-7", bind={"a": 1}, **names)
    assert fingerprint(other) != fingerprint(request)
    (tmp_path / "page.keras").write_text("<html>")
    with pytest.raises(FreezeError, match="WRONG_FILE"):
        freeze_cached(Request(keras=tmp_path / "page.keras"))


def test_inspect_says_inputs_outputs_and_what_would_be_mended(model, capsys):
    folder, _ = model
    assert cli.main(["inspect", str(folder / "model.ckpt-7.meta")]) == 0
    said = capsys.readouterr().out
    assert "images uint8 [?, 32, 16, 3]" in said and "features float32 [?, 16]" in said and "training mode" in said
    assert cli.main(["inspect", str(folder / "model.ckpt-7.index")]) == 0
    assert "fc1/weights float32 [256, 16]" in capsys.readouterr().out


def test_every_code_is_documented():
    import ast

    found = set()
    for path in (ROOT / "freeze").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(getattr(node, "func", None), "attr", getattr(getattr(node, "func", None), "id", ""))
            if name in ("FreezeError", "repair", "note", "warn", "mend") and node.args:
                found |= {
                    c.value for c in ast.walk(node.args[0]) if isinstance(c, ast.Constant) and str(c.value).isupper()
                }
    documented = set((ROOT / "freeze" / "README.md").read_text().replace("`", " ").replace(",", " ").split())
    found = {code for code in found if not code.startswith("_")} - {"USAGE"}  # the rest of a name made of two parts
    assert len(found) > 80 and found <= documented, found - documented
