"""Runs for days: files by the hour, counts that go on, a ceiling for what is kept."""

import csv
import os
from datetime import UTC, datetime, timedelta

import pytest

from tests.runs import SceneSource
from tests.scenes import decodable, rows, there_and_back, write_video
from tracker.app.cli import main
from tracker.app.outputs import StreamOutput
from tracker.app.segments import Keeping, Segments, set_aside
from tracker.core.types import Frame, Tracks

GB = 1e9


class Clock:
    """Moved by the test."""

    def __init__(self):
        self.now = datetime(2026, 11, 27, 8, 30, tzinfo=UTC)

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_segment_ends_at_the_whole_hour(tmp_path, clock):
    segments = Segments(tmp_path, Keeping(3600.0), clock)
    first = segments.begin()
    assert first.parent == tmp_path / "segments" and not segments.due()
    clock.now += timedelta(minutes=29, seconds=59)
    assert not segments.due()
    clock.now += timedelta(seconds=1)
    assert segments.due()
    second = segments.begin()
    assert first < second and segments.begin() != second  # a run that starts in the same second gets its own


def test_rows_and_video_go_to_the_segment_of_their_time(tmp_path, clock):
    source = SceneSource(frames=9)
    output = StreamOutput(
        tmp_path, source.info, ("block",), video=True, show=False, segments=Segments(tmp_path, Keeping(3600.0), clock)
    )
    for frame in source:
        clock.now += timedelta(minutes=10)
        one = Tracks.empty()
        output.write(frame, one, output.draw(Frame(frame.index, frame.time_s, frame.image, frame.size), one))
    output.close()
    found = sorted((tmp_path / "segments").iterdir())
    assert [decodable(f / "tracks.mp4") for f in found] == [2, 6, 1]
    assert all((f / "tracks.csv").exists() for f in found) and not (tmp_path / "tracks.csv").exists()


def _old(path, size, clock, days):
    path.mkdir(parents=True)
    (path / "tracks.csv").write_bytes(bytes(size))
    when = (clock.now - timedelta(days=days)).timestamp()
    os.utime(path, (when, when))


def test_what_is_too_old_or_too_much_goes_oldest_first(tmp_path, clock):
    place = tmp_path / "segments"
    for days, name in (
        (9, "2026-11-18_080000"),
        (3, "2026-11-24_080000"),
        (2, "2026-11-25_080000"),
        (1, "2026-11-26_080000"),
    ):
        _old(place / name, 1000, clock, days)
    (place / "notes").mkdir()
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings" / "2026-11-24_120000.mp4").write_bytes(bytes(1000))
    (tmp_path / "recordings" / "wedding.mp4").write_bytes(bytes(1000))
    segments = Segments(tmp_path, Keeping(3600.0, 7 * 86400.0, 2500.0), clock)
    now = segments.begin()
    left = sorted(p.name for p in place.iterdir())
    assert left == sorted(["2026-11-25_080000", "2026-11-26_080000", "notes", now.name])
    assert [p.name for p in (tmp_path / "recordings").iterdir()] == ["wedding.mp4"]
    assert segments.warnings == []


def test_an_earlier_run_is_set_aside_unfinished_files_too(tmp_path, clock):
    (tmp_path / "crossings.csv").write_text("old")
    (tmp_path / ".tracks.csv.part").write_text("cut off")
    set_aside(tmp_path, ("crossings.csv", "tracks.csv"), clock.now)
    (place,) = (tmp_path / "earlier").iterdir()
    assert (place / "crossings.csv").read_text() == "old" and (place / "tracks.csv").read_text() == "cut off"
    set_aside(tmp_path, ("crossings.csv",), clock.now)
    assert [p.name for p in tmp_path.iterdir()] == ["earlier"]


def test_a_run_in_segments_again_in_the_same_folder(tmp_path):
    clip = write_video(tmp_path / "clip.mp4", 60, shows=there_and_back)
    given = [
        "run",
        str(clip),
        "--detector",
        "motion",
        "--encoder",
        "none",
        "--no-video",
        "-q",
        "--line",
        "g=60,0,60,119",
    ]
    given += ["--segment", "1h", "--keep", "7d", "--keep-gb", "5", "--output", str(tmp_path / "out")]
    assert main(given) == 0
    first = (tmp_path / "out" / "crossings.csv").read_text()
    assert main(given) == 0
    assert (tmp_path / "out" / "crossings.csv").read_text() == first
    (aside,) = (tmp_path / "out" / "earlier").iterdir()
    assert (aside / "crossings.csv").read_text() == first
    segments = sorted((tmp_path / "out" / "segments").iterdir())
    assert len(segments) == 2 and len({rows(s / "tracks.txt")[0][0] for s in segments}) == 1
    assert sum(int(r["count"]) for r in csv.DictReader((tmp_path / "out" / "counts.csv").read_text().splitlines())) > 0


def test_bad_input(tmp_path, capsys):
    for more, told in (
        (["--keep", "7d"], "--keep removes old segments; give their length, too: --segment 1h"),
        (["--segment", "1h", "--keep-gb", "0"], "--keep-gb is 0.0; expected a positive number"),
        (["--segment", "1h", "--smooth"], "expected it without --segment"),
    ):
        assert main(["run", "x.mp4", *more]) == 1
        assert told in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["run", "x.mp4", "--segment", "soon"])
    assert "expected a length such as 90s, 10min or 1h" in capsys.readouterr().err
