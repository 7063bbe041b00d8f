"""`tracker.load`: a finished run as tables."""

import pytest

import tracker
from tests.scenes import write_detections, write_video
from tracker.app.cli import main
from tracker.errors import BackendMissingError, SourceError

pandas = pytest.importorskip("pandas")


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    write_video(folder / "clip.mp4", 40)
    write_detections(folder / "det.txt", 40)
    return folder


def run(footage, output, *more):
    given = ["--detector", str(footage / "det.txt"), "--encoder", "none", "--no-video", "-q", "--output", str(output)]
    assert main(["run", str(footage / "clip.mp4"), *given, *more]) == 0
    return tracker.load(output)


def test_tables_hold_what_the_files_do(footage, tmp_path):
    found = run(footage, tmp_path / "out", "--line", "gate=60,0,60,119", "--start-time", "2026-11-27T08:00+01:00")
    lines = (tmp_path / "out" / "tracks.csv").read_text().splitlines()
    assert len(found.tracks) == len(lines) - 1 and ",".join(found.tracks.columns) == lines[0]
    assert found.tracks.id.nunique() == 3 and found.tracks.frame.max() == 40
    assert len(found.crossings) == found.counts["count"].sum() > 0
    assert str(found.crossings.clock[0]).startswith("2026-11-27 07:00:0") and str(found.counts.start.dtype).endswith(
        "UTC]"
    )
    assert found.summary["frames"] == 40


def test_a_run_without_lines_has_empty_tables_with_columns(footage, tmp_path):
    found = run(footage, tmp_path / "out")
    assert len(found.crossings) == len(found.counts) == 0
    assert list(found.counts.columns) == ["start", "end", "line", "direction", "class", "count"]


def test_bad_input(footage, tmp_path, monkeypatch):
    with pytest.raises(SourceError, match=r"holds no tracks\.csv; expected the folder of a run"):
        tracker.load(tmp_path)
    run(footage, tmp_path / "out")
    (tmp_path / "out" / "counts.csv").write_bytes(b'a,b\n"1')
    with pytest.raises(SourceError, match=r"counts\.csv: cannot be read"):
        _ = tracker.load(tmp_path / "out").counts
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(BackendMissingError, match=r"pip install 'deepsort-tracker\[pandas\]'"):
        tracker.load(tmp_path / "out")
