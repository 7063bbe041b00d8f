"""The Python snippets of README and of the library's pages run, and the notebook shows what it says."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests.encoders import write_encoder
from tests.scenes import SIZE, boxes, image, write_detections, write_video
from tracker.app.cli import main

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *(ROOT / "docs" / "api" / f"{name}.md" for name in ("library", "tracking", "encoder"))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the snippets speak of: a video, an encoder, a finished run."""
    folder = tmp_path_factory.mktemp("snippets")
    write_video(folder / "traffic.mp4", 20)
    write_encoder(folder / "encoder.pb", crop_rule="stretch", max_cosine_distance=0.3)
    det = write_detections(folder / "det.txt", 20)
    given = ["run", str(folder / "traffic.mp4"), "--detector", str(det), "--encoder", "none", "--no-video", "-q"]
    assert main([*given, "--output", str(folder / "runs" / "traffic")]) == 0
    return folder


def given():
    """Names that the snippets take as there."""
    frames = [(boxes(i), np.full(3, 0.9, np.float32), np.zeros(3, int), None) for i in range(1, 6)]
    return {"my_frames": frames, "image_bgr": image(1), "xyxy": boxes(1), "size": SIZE, "__name__": "snippet"}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_snippets_run(page, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    names = given()
    for code in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL):
        exec(compile(code, str(page), "exec"), names)
    assert capsys.readouterr().out or "features" in names


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
