"""What pages show does what they say: Python runs, commands and files are read, the notebook gives its outputs."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import numpy as np
import pytest

import detectors.__main__
import freeze.cli
import videos.__main__
from freeze.request import Request
from tests import freeze_models
from tests.encoders import write_encoder
from tests.scenes import SIZE, boxes, image, write_detections, write_video
from tracker.answers.scene import scene_from
from tracker.app.cli import main
from tracker.app.options import parser, with_command

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(ROOT.glob("docs/**/*.md")),
    ROOT / "freeze" / "README.md",
]
OWN_TEST = ROOT / "docs" / "extending.md"
"""Its examples are run by `test_contributing`."""


def blocks(language):
    """Fenced blocks of a language, by page."""
    found = {p: re.findall(rf"```{language}\n(.*?)```", p.read_text(encoding="utf-8"), re.DOTALL) for p in PAGES}
    return {page: texts for page, texts in found.items() if texts}


def commands():
    """Commands of our programs in indented lines, comments cut off."""
    lines = [line for page in PAGES for line in page.read_text(encoding="utf-8").splitlines() if line[:4] == " " * 4]
    return sorted(
        {c for line in lines for c in re.findall(r"python -m (tracker|freeze|detectors|videos) ([^#]*)", line)}
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the snippets speak of: a video, a trained model, an encoder, a finished run."""
    folder = tmp_path_factory.mktemp("snippets")
    write_video(folder / "traffic.mp4", 20)
    write_encoder(folder / "encoder.pb", crop_rule="stretch", max_cosine_distance=0.3)
    keras = pytest.importorskip("keras")
    images = keras.Input(freeze_models.SHAPE)
    x = keras.layers.Flatten()(keras.layers.Conv2D(8, 3, strides=4)(keras.layers.Rescaling(1 / 255)(images)))
    keras.Model(images, keras.layers.UnitNormalization()(keras.layers.Dense(16)(x))).save(folder / "encoder.keras")
    det = write_detections(folder / "det.txt", 20)
    given = ["run", str(folder / "traffic.mp4"), "--detector", str(det), "--encoder", "none", "--no-video", "-q"]
    assert main([*given, "--output", str(folder / "runs" / "traffic")]) == 0
    return folder


def given():
    """Names that the snippets take as there."""
    frames = [(boxes(i), np.full(3, 0.9, np.float32), np.zeros(3, int), None) for i in range(1, 6)]
    return {"my_frames": frames, "image_bgr": image(1), "xyxy": boxes(1), "size": SIZE, "__name__": "snippet"}


@pytest.mark.parametrize("page", sorted(blocks("python").keys() - {OWN_TEST}), ids=lambda p: str(p.relative_to(ROOT)))
def test_snippets_run(page, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    names = given()
    for code in blocks("python")[page]:
        exec(compile(code, str(page), "exec"), names)
    assert capsys.readouterr().out or "features" in names


@pytest.mark.parametrize("program, words", commands())
def test_commands_are_understood(program, words):
    words = shlex.split(words)
    if program == "tracker":
        top = parser()
        top.parse_args(with_command(words, top.commands))
    elif program == "freeze":
        if words[0] not in freeze.cli.COMMANDS:
            Request.from_options(vars(freeze.cli.parser().parse_args(words)))
    else:
        {"detectors": detectors.__main__, "videos": videos.__main__}[program].parser().parse_args(words)


def test_scenes_are_read():
    (text,) = [text for texts in blocks("toml").values() for text in texts]
    scene = scene_from(tomllib.loads(text), "docs/answers.md")
    assert [line.name for line in scene.lines] == ["bridge"] and scene.ground.unit == "km/h"


def test_a_cluster_is_what_ray_takes():
    ray, jsonschema, yaml = (pytest.importorskip(name) for name in ("ray", "jsonschema", "yaml"))
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    for texts in blocks("yaml").values():
        for text in texts:
            jsonschema.validate(yaml.safe_load(text), schema)


def test_the_notebook_shows_what_it_says(tmp_path, monkeypatch):
    """Executed from top to bottom, every cell gives the output that is kept in it."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    kept = nbformat.read(ROOT / "docs" / "library.ipynb", as_version=4)
    ran = nbformat.from_dict(kept)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    nbclient.NotebookClient(ran, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    for before, after in zip(kept.cells, ran.cells, strict=True):
        assert _texts(before) == _texts(after), before.source


def _texts(cell):
    """What it printed, and what it returned; how the printed text was cut on its way is chance."""
    return "".join(o.get("text") or o["data"]["text/plain"] for o in cell.get("outputs", ()))
