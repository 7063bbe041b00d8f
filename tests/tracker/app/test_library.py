"""`tracker.track`: the whole pipeline in a loop."""

import csv
import json
import logging
import threading
import time
import tracemalloc

import numpy as np
import pytest

import tracker
from tests.scenes import BLOCKS, boxes, write_video
from tracker import Detections
from tracker.app.cli import main
from tracker.app.run_folder import RunFolder
from tracker.core.mot import format_rows
from tracker.errors import ConfigError, SourceError, TrackerError


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("library") / "clip.mp4", 40)


def blocks(image):
    """Finds the three blocks by their colours, as a user's own function would."""
    found = []
    for *_, colour in BLOCKS:
        rows, columns = np.nonzero(np.abs(image.astype(int) - colour).max(axis=2) < 40)
        if len(rows) > 50:
            found.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
    return Detections(np.array(found, np.float32))


def track(clip, **more):
    return tracker.track(clip, detector=more.pop("detector", blocks), encoder="none", **more)


def test_a_function_is_a_detector_and_frames_come_in_order(clip):
    frames = list(track(clip))
    assert [f.index for f in frames] == list(range(1, 41))
    assert frames[10].time_s == pytest.approx(1.0) and frames[0].image.shape == (120, 160, 3)
    tenth = frames[9]
    assert sorted(tenth.tracks.id.tolist()) == [1, 2, 3] and tenth.class_names == ("object",)
    order = np.argsort(tenth.tracks.xyxy[:, 0])
    np.testing.assert_allclose(tenth.tracks.xyxy[order], boxes(10)[np.argsort(boxes(10)[:, 0])], atol=2)


@pytest.mark.parametrize("threads", [True, False])
def test_the_same_bytes_as_the_command(clip, tmp_path, threads):
    assert main(["run", str(clip), "--detector", "motion", "--encoder", "none", "-q", "--output", str(tmp_path)]) == 0
    found = tracker.track(clip, detector="motion", encoder="none", threads=threads)
    rows = "".join(format_rows(f.index, f.tracks) for f in found)
    assert rows and rows == (tmp_path / "tracks.txt").read_text()


def test_files_where_an_output_is_asked_for(clip, tmp_path):
    frames = list(track(clip, output=tmp_path / "out", max_frames=10))
    run = [clip, "--detector", "motion", "--encoder", "none", "--max-frames", 10, "-q", "--output", tmp_path / "run"]
    assert main(["run", *map(str, run)]) == 0
    assert {p.name for p in (tmp_path / "out").iterdir()} == {p.name for p in (tmp_path / "run").iterdir()}
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["frames"] == 10 and summary["detector"]["name"] == "blocks" and not summary["interrupted"]
    assert RunFolder.open(tmp_path / "out").size == (160, 120)
    for drawn, bare in zip(frames, track(clip, max_frames=10), strict=True):  # what is yielded has no labels on it
        np.testing.assert_array_equal(drawn.image, bare.image)


def test_leaving_the_loop_leaves_the_files_of_what_was_tracked(clip, tmp_path):
    frames = track(clip, output=tmp_path)
    for frame in frames:
        if frame.index == 5:
            frames.close()
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["interrupted"] and summary["frames"] >= 5
    assert (tmp_path / "config.toml").is_file() and (tmp_path / "tracks.csv").is_file()


def test_breaking_out_closes_everything_within_a_second(clip):
    before = set(threading.enumerate())
    frames = track(clip)
    assert next(frames).index == 1
    started = time.monotonic()
    frames.close()
    assert time.monotonic() - started < 1
    assert not [t for t in set(threading.enumerate()) - before if t.is_alive()]


def test_memory_stays_flat(tmp_path):
    """Frames that were passed are let go: 100 more of them take less than the room of ten."""
    long, room = write_video(tmp_path / "long.mp4", 200), 160 * 120 * 3
    tracemalloc.start()
    try:
        sizes = [tracemalloc.get_traced_memory()[0] for f in track(long, threads=False) if f.index in (100, 200)]
    finally:
        tracemalloc.stop()
    assert sizes[1] - sizes[0] < 10 * room


def test_settings_are_checked_at_once(clip):
    with pytest.raises(ConfigError, match="unknown setting 'confidance'"):
        track(clip, confidance=0.3)
    with pytest.raises(ConfigError, match="stride is 0"):
        track(clip, stride=0)
    with pytest.raises(SourceError, match="no such file"):
        next(track("missing.mp4"))


def test_an_error_of_the_detector_reaches_the_loop_after_the_frames_before_it(clip):
    seen = []

    def faulty(image):
        seen.append(1)
        if len(seen) == 5:
            raise ZeroDivisionError("five")
        return blocks(image)

    frames = []
    with pytest.raises(TrackerError, match=r"stopped after 4 frames \(ZeroDivisionError: five\)") as failure:
        frames.extend(track(clip, detector=faulty))
    assert isinstance(failure.value.__cause__, ZeroDivisionError)


def test_it_tells_by_logging(clip, caplog):
    with caplog.at_level(logging.INFO, "tracker"):
        list(track(clip, max_frames=2))
    assert "detector: blocks (python)" in caplog.text


@pytest.mark.parametrize("threads", [True, False])
def test_crossings_are_those_of_the_file_to_the_last(clip, tmp_path, threads):
    """The second block is a tenth of its height beyond the line when the clip ends: only the end settles that."""
    settings = {"line": "gate=55,10,55,110:in/out", "threads": threads, "video": False}
    frames = list(track(clip, output=tmp_path / "out", **settings))
    told = [(f"{c.time_s:.3f}", c.line, c.direction, str(c.id)) for f in frames for c in f.crossings]
    with open(tmp_path / "out" / "crossings.csv", newline="") as file:
        assert told == [(c["time_s"], c["line"], c["direction"], c["id"]) for c in csv.DictReader(file)]
    assert len(told) == 2 and len(frames) == 40 and len(frames[-1].crossings) == 1


@pytest.mark.parametrize("source", [None, ["a.mp4", "b.mp4"], 2.5])
def test_what_is_no_source_is_told_at_once(source):
    with pytest.raises(ConfigError, match="expected one path"):
        tracker.track(source)
