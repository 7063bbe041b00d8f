"""Runs for days: files by the hour, counts that go on, a ceiling for what is kept."""

import csv
import os
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from tests.disks import Full
from tests.runs import SceneSource
from tests.scenes import decodable, there_and_back, write_video
from tests.tracker.answers.ways import tracks
from tracker.answers.clock import Clock as AnswerClock
from tracker.answers.counts import Counts
from tracker.answers.files import SumFiles
from tracker.answers.scene import Line, Scene
from tracker.answers.writer import AnswerWriter
from tracker.app.cli import main
from tracker.app.outputs import StreamOutput
from tracker.app.segments import Keeping, Segments, set_aside
from tracker.core import files
from tracker.core.types import Frame, Tracks
from tracker.errors import OutputError
from tracker.video import writer

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


def test_the_segment_after_a_video_that_broke_off_has_one_again(tmp_path, clock, monkeypatch):
    create, room = files.create, iter((3_000, 1 << 30))

    def created(path, *args):
        return Full(create(path, *args), next(room)) if path.name == ".tracks.mp4.part" else create(path, *args)

    monkeypatch.setattr(writer, "create", created)
    source = SceneSource(frames=40)
    keeping = Segments(tmp_path, Keeping(3600.0), clock)
    output = StreamOutput(tmp_path, source.info, (), video=True, show=False, segments=keeping)
    for frame in source:
        clock.now += timedelta(minutes=1)
        output.write(frame, Tracks.empty(), output.draw(frame, Tracks.empty()))
    with pytest.raises(OutputError, match="No space left on device"):
        output.close()
    first, second = sorted((tmp_path / "segments").iterdir())
    assert decodable(first / "tracks.mp4") < 29 and decodable(second / "tracks.mp4") == 11


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
    given += ["--start-time", "2026-11-27 08:30"]
    assert main(given) == 0
    out = tmp_path / "out"
    crossed = table(next((out / "segments").iterdir()) / "crossings.csv")
    assert crossed and not (out / "crossings.csv").exists()
    counts, hours = table(out / "counts.csv"), table(out / "hours.csv")
    assert total(counts) == total(hours) == len(crossed)
    (out / "segments" / "2026-11-26_080000").mkdir()  # of a run that was killed
    (out / "segments" / "2026-11-26_080000" / ".crossings.csv.part").write_text("time_s\n")
    assert main(given) == 0
    (aside,) = (out / "earlier").iterdir()
    assert (aside / "summary.json").exists() and not (aside / "counts.csv").exists()
    killed, *segments = sorted((out / "segments").iterdir())
    assert [p.name for p in killed.iterdir()] == ["crossings.csv"]
    assert len(segments) == 2 and all(table(s / "crossings.csv") == crossed for s in segments)
    assert all(total(table(s / "counts.csv")) == len(crossed) for s in segments)
    assert table(out / "counts.csv") == counts + counts
    assert total(table(out / "hours.csv")) == 2 * len(crossed) and len(table(out / "hours.csv")) == len(hours)


def table(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def total(rows):
    return sum(int(r["count"]) for r in rows)


def test_events_go_to_the_segment_of_their_time_and_sums_go_on(tmp_path, clock):
    """A crossing an hour: each in its own segment, all in the sums of the run."""
    scene = Scene((Line("gate", np.array([[0.5, 0.0], [0.5, 1.0]]), ("east", "west")),), (), (), None)
    start = AnswerClock(clock.now, UTC)
    output = StreamOutput(
        tmp_path, SceneSource(frames=1).info, ("car",), video=False, show=False,
        segments=Segments(tmp_path, Keeping(3600.0), clock),
        answers=lambda: AnswerWriter(tmp_path, scene, (160, 120), ("car",), clock=start, segmented=True),
    )  # fmt: skip
    for hour in range(3):
        for step in range(20):
            index, time_s, x = hour * 20 + step + 1, hour * 3600.0 + step * 0.2, 10.0 + 7 * step
            frame = Frame(index, time_s, None, (160, 120))
            seen = tracks([(hour + 1, x, 60, 20, 0.9, 0)])
            output.answer(frame, seen)
            output.write(frame, seen, None)
        clock.now += timedelta(hours=1)
        if hour == 1:  # what a crash would leave: sums of the hours before stand in the folder of the run
            assert total(table(tmp_path / "counts.csv")) == 1
    output.close()
    folders = sorted((tmp_path / "segments").iterdir())
    assert [[r["id"] for r in table(f / "crossings.csv")] for f in folders] == [["1"], ["2"], ["3"]]
    assert [total(table(f / "counts.csv")) for f in folders] == [1, 1, 1]
    assert total(table(tmp_path / "counts.csv")) == 3
    assert [r["start"][11:16] for r in table(tmp_path / "counts.csv") if r["count"] == "1"] == [
        "08:30",
        "09:30",
        "10:30",
    ]


def test_what_is_no_table_of_counts_does_not_go_on(tmp_path):
    (tmp_path / "counts.csv").write_text("start,end,line,direction,class,count\n1,2,gate,east,car,many\n")
    counts = Counts(Scene((), (), (), None), AnswerClock(), 900.0)
    with pytest.raises(OutputError, match=r"counts.csv: is no table of start,.*move it away"):
        SumFiles(tmp_path, counts, goes_on=True)


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
