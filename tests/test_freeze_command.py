"""The command `python -m freeze`, its files, and wrong files; `freeze.api`."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from freeze import cli
from freeze.api import fingerprint, freeze_cached
from freeze.contract import Contract
from freeze.errors import FreezeError
from freeze.request import Request
from freeze.sniff import sniff
from tests.freeze_models import IMAGES, placeholder, right, tiny, trained

ROOT = Path(__file__).parents[1]
NO_TENSORFLOW = """
import sys
from freeze.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as e:
    code = e.code
print("TF" if "tensorflow" in sys.modules else "light", code)
"""


def light(*arguments):
    """(stdout, stderr) of the command in a fresh process, which says whether it has loaded TensorFlow."""
    run = subprocess.run(
        [sys.executable, "-c", NO_TENSORFLOW, *map(str, arguments)], capture_output=True, text=True, cwd=ROOT
    )
    assert "Traceback" not in run.stderr
    return run.stdout, run.stderr


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


def test_writes_graph_and_contract_that_the_tracker_loads(model, tmp_path, capfd):
    from tracker.encoder import FrozenEncoder

    folder, held = model
    out = tmp_path / "deep" / "encoder.pb"
    report = tmp_path / "report.html"
    assert cli.main(arguments(folder, out, "--report", report)) == 0
    said = capfd.readouterr()
    assert "BATCH_NORM_TRAINING" in said.out and "moving" in said.out and "proved" in said.out
    contract = Contract.beside(out)
    assert contract.proof["max_abs_difference"] <= 1e-5 and contract.proof["reload_difference"] <= 1e-5
    assert [r["code"] for r in contract.repairs if r["kind"] == "repair"].count("BATCH_NORM_TRAINING") == 2
    assert sorted(p.name for p in out.parent.iterdir()) == ["encoder.json", "encoder.pb"]
    with FrozenEncoder.open(out, device="cpu", precision="f32") as encoder:
        np.testing.assert_allclose(encoder.encode(IMAGES), right(held), atol=1e-5)
    first = out.read_bytes(), contract.to_json()
    page = report.read_text()
    assert "BATCH_NORM_TRAINING" in page and "<svg" in page and "conv1_1/bn/moving_mean" in page
    run = subprocess.run(
        [sys.executable, "-m", "freeze", *arguments(folder, out)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"},
    )
    assert run.returncode == 0 and run.stderr == "" and "frozen" in run.stdout, run.stderr
    assert (out.read_bytes(), out.with_suffix(".json").read_text()) == first


def test_bfloat16_is_proved_against_float32_and_reported(model, tmp_path):
    out = tmp_path / "low.pb"
    report, events = tmp_path / "report.json", tmp_path / "events"
    more = ("--precision", "bf16", "--report", report, "--tensorboard", events)
    assert cli.main(arguments(model[0], out, *more)) == 0
    contract = Contract.beside(out)
    assert contract.precision == "bf16" and contract.proof["cosine_to_f32"] > 0.999
    assert contract.proof["f32"]["max_abs_difference"] <= 1e-5
    assert json.loads(report.read_text())["proof"]["cosine_to_f32"] == contract.proof["cosine_to_f32"]
    assert all(list((events / p).glob("events.out.tfevents.*")) for p in ("before", "after"))


def test_a_failure_leaves_no_file_and_an_old_one_alone(model, tmp_path, capfd):
    out = tmp_path / "encoder.pb"
    out.write_text("old")
    assert cli.main([*arguments(model[0], out)[:-1], str(out), "--output", "featurs"]) == 1
    said = capfd.readouterr().err
    assert "OUTPUT_UNKNOWN" in said and "remedy" in said and "Traceback" not in said
    assert out.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["encoder.pb"]


def test_freezes_once_for_the_same_sources(model, tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKER_CACHE", str(tmp_path))
    folder, _ = model
    names = {"input": "images", "output": "features"}
    request = Request(meta=folder / "model.ckpt-7.meta", checkpoint=folder / "model.ckpt-7", **names)
    path = freeze_cached(request)
    written = path.stat().st_mtime_ns
    assert freeze_cached(request) == path and path.stat().st_mtime_ns == written
    other = Request(meta=folder / "model.ckpt-7.meta", checkpoint=folder / "model.ckpt-7", bind={"a": 1}, **names)
    assert fingerprint(other) != fingerprint(request)
    with pytest.raises(FreezeError, match="OUTPUT_NOT_GIVEN"):
        freeze_cached(Request(meta=folder / "model.ckpt-7.meta", checkpoint=folder / "model.ckpt-7"))


def test_help_and_usage_load_no_tensorflow(tmp_path):
    out, _ = light("--help")
    assert "--saved-model" in out and "light 0" in out
    for wrong in (
        ["--out", "x.pb"],
        ["--network", "wrn"],
        ["--network", "wrn", "--keras", "k", "--out", "x.pb"],
        ["--network", "wrn", "--out", "x.onnx"],
        ["--nothing"],
        ["--network", "wrn", "--out", "x.pb", "--scale", "a"],
    ):
        assert "light 2" in light(*wrong)[0], wrong


def zipped(**names):
    def write(path):
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in names.items():
                archive.writestr(name.replace("__", "/").replace("_dot_", "."), text)

    return write


def bytes_of(data):
    return lambda path: path.write_bytes(data)


WRONG = {
    "html": (bytes_of(b"\n<!DOCTYPE html><html><title>Drive</title></html>"), "HTML web page"),
    "lfs": (bytes_of(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"), "git-lfs pointer"),
    "empty": (bytes_of(b""), "empty"),
    "zip": (zipped(model_dot_pb="x"), "zip archive that holds model.pb"),
    "pytorch": (zipped(archive__data_dot_pkl="x"), "PyTorch"),
    "tflite": (bytes_of(b"\x1c\0\0\0TFL3" + b"\0" * 64), "TensorFlow Lite"),
    "onnx": (bytes_of(b"\x08\x08\x12\x07pytorch\x1a\x012"), "ONNX"),
    "picture": (bytes_of(b"\x89PNG\r\n\x1a\n" + b"\0" * 64), "PNG"),
    "text": (bytes_of(b"hello, this is not a model at all\n"), "text file"),
    "json": (bytes_of(b'{"class_name": "Functional"}'), "architecture of a Keras model"),
    "gzip": (bytes_of(b"\x1f\x8b\x08" + b"\0" * 64), "gzip"),
    "pickle": (bytes_of(b"\x80\x02}q\0."), "pickle"),
    "noise": (bytes_of(bytes(range(200, 256)) * 4), "no model known"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_files_are_named(tmp_path, kind):
    write, words = WRONG[kind]
    path = tmp_path / "mars-small128.pb"
    write(path)
    assert words in sniff(path).text and sniff(path).option is None


def test_a_wrong_file_is_named_without_tensorflow(tmp_path):
    path = tmp_path / "mars-small128.pb"
    WRONG["html"][0](path)
    out, err = light("inspect", path)
    assert "light 1" in out and "HTML" in out and "download" in err
    out, err = light("--graphdef", path, "--out", tmp_path / "x.pb")
    assert "light 1" in out and "WRONG_FILE" in err and not (tmp_path / "x.pb").exists()
    out, err = light("inspect", tmp_path / "missing.pb")
    assert "light 1" in out and "FILE_MISSING" in err


def test_inspect_says_inputs_outputs_and_what_would_be_mended(model, capsys):
    folder, _ = model
    assert cli.main(["inspect", str(folder / "model.ckpt-7.meta")]) == 0
    said = capsys.readouterr().out
    assert "images uint8 [?, 32, 16, 3]" in said and "features float32 [?, 16]" in said and "training mode" in said
    assert cli.main(["inspect", str(folder / "model.ckpt-7.index")]) == 0
    assert "fc1/weights float32 [256, 16]" in capsys.readouterr().out
