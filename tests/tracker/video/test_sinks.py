"""Rows, video and window: whole files in their place, whatever happens."""

import errno
import os

import av
import numpy as np
import pytest

from tests.disks import fill_up
from tests.scenes import SIZE, boxes, decodable, image, rows
from tracker.app.outputs import StreamOutput, claim_folder, release_folder
from tracker.core.files import part_of, write_whole
from tracker.core.interfaces import SourceInfo
from tracker.core.types import Frame, Tracks
from tracker.errors import OutputError
from tracker.video.sinks import CsvSink, MotSink, WindowSink
from tracker.video.writer import VideoSink, whole_boxes

INFO = SourceInfo("clip", SIZE, 10.0, 20, live=False)


def frame(index, pixels=True):
    return Frame(index, (index - 1) / 10, image(index) if pixels else None, SIZE)


def tracks(index, n=3):
    return Tracks(
        np.arange(1, n + 1),
        boxes(index)[:n].astype(float),
        np.full(n, 0.5, np.float32),
        np.zeros(n, np.int32),
        np.arange(n),
        np.ones(n, bool),
        np.zeros(n, np.int64),
        np.ones(n, bool),
    )


def test_rows_appear_when_closed(tmp_path):
    path = tmp_path / "tracks.txt"
    with MotSink(path) as sink:
        sink.write(frame(1), tracks(1))
        sink.write(frame(2), tracks(2, 0))
        sink.write(frame(3), tracks(3, 2))
        assert not path.exists() and part_of(path).exists()
    assert [r[:2] for r in rows(path)] == [["1", "1"], ["1", "2"], ["1", "3"], ["3", "1"], ["3", "2"]]
    assert not part_of(path).exists()
    sink.close()
    with pytest.raises(OutputError, match="is closed"):
        sink.append(b"x")


def test_csv_names_classes_and_quotes_them(tmp_path):
    with CsvSink(tmp_path / "t.csv", ('a "big", car',)) as sink:
        given = tracks(2, 2)
        sink.write(frame(2), given)
        given.class_id[:] = 7
        sink.write(frame(3), given)
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines[0] == "frame,time_s,id,class,left,top,width,height,score"
    assert lines[1].startswith('2,0.100,1,"a ""big"", car",13.00,20.00,20.00,30.00,0.5000')
    assert ",class 7," in lines[3]


def test_a_full_disk_leaves_whole_rows(tmp_path, monkeypatch):
    fill_up(monkeypatch, "t.txt", 300)
    sink = MotSink(tmp_path / "t.txt")
    with pytest.raises(OutputError, match="No space left on device"):
        for index in range(1, 50):
            sink.write(frame(index), tracks(index))
    sink.close()
    found = rows(tmp_path / "t.txt")
    assert 0 < len(found) < 10 and len(found) % 3 == 0
    assert all(len(r) == 10 for r in found)


@pytest.mark.parametrize("size", [SIZE, (161, 121), (33, 17)])
def test_video_plays_with_its_times(tmp_path, size):
    path = tmp_path / "v.mp4"
    times = [0.5, 0.6, 0.75, 1.5, 1.5, 1.6]
    with VideoSink(path, size, 10.0) as sink:
        for n, time_s in enumerate(times):
            sink.write_image(np.ascontiguousarray(np.resize(image(n + 1), (size[1], size[0], 3))), time_s)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        assert stream.codec_context.name == "h264" and stream.codec_context.pix_fmt == "yuv420p"
        assert (stream.width, stream.height) == (size[0] + size[0] % 2, size[1] + size[1] % 2)
        np.testing.assert_allclose([f.time for f in frames], [0, 0.1, 0.25, 1.0, 1.0, 1.1], atol=1e-3)


def test_video_shows_what_was_written(tmp_path):
    with VideoSink(tmp_path / "v.mp4", SIZE, 10.0) as sink:
        for index in range(1, 15):
            sink.write_image(image(index), index / 10)
    with av.open(str(tmp_path / "v.mp4")) as container:
        shown = [f.to_ndarray(format="bgr24") for f in container.decode(video=0)]
    assert len(shown) == 14
    assert np.abs(shown[7].astype(int) - image(8)).mean() < 8


def test_video_can_be_played_while_it_is_written(tmp_path):
    path = tmp_path / "v.mp4"
    sink = VideoSink(path, SIZE, 10.0)
    generator = np.random.default_rng(1)
    for index in range(1, 120):
        sink.write_image(generator.integers(0, 255, (SIZE[1], SIZE[0], 3), np.uint8), index / 10)
    assert (
        decodable(part_of(path)) >= 40
    )  # as after a power cut: x264 holds some frames back, and a fragment is a second
    sink.close()
    assert decodable(path) == 119


def test_a_full_disk_leaves_a_playable_video(tmp_path, monkeypatch):
    path = tmp_path / "v.mp4"
    fill_up(monkeypatch, path.name, 400_000)
    sink = VideoSink(path, SIZE, 10.0)
    generator = np.random.default_rng(1)
    with pytest.raises(OutputError, match="No space left on device"):
        for index in range(1, 500):
            sink.write_image(generator.integers(0, 255, (SIZE[1], SIZE[0], 3), np.uint8), index / 10)
    with pytest.raises(OutputError):
        sink.close()
    assert decodable(path) >= 10
    assert path.stat().st_size <= 400_000
    with open(path, "rb") as file:
        assert whole_boxes(file) == path.stat().st_size


def test_video_without_frames_leaves_no_file(tmp_path):
    VideoSink(tmp_path / "v.mp4", SIZE, 10.0).close()
    assert list(tmp_path.iterdir()) == []


def test_write_whole_keeps_the_old_file_when_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "summary.json"
    write_whole(path, "old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputError, match="No space left"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["summary.json"]


def test_folders_are_claimed_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [str(claim_folder(None, "clip")) for _ in range(3)] == ["runs/clip", "runs/clip-2", "runs/clip-3"]
    release_folder(claim_folder(None, "clip"))
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["clip", "clip-2", "clip-3"]


def test_results_are_not_overwritten_unasked(tmp_path):
    folder = claim_folder(tmp_path / "out", "clip")
    assert claim_folder(folder, "clip") == folder
    (folder / "tracks.txt").write_text("1")
    with pytest.raises(OutputError, match=r"holds results already \(tracks.txt\)"):
        claim_folder(folder, "clip")
    assert claim_folder(folder, "clip", overwrite=True) == folder


def test_folders_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="is a file"):
        claim_folder(tmp_path / "file", "clip")
    with pytest.raises(OutputError, match="cannot be written"):
        claim_folder(tmp_path / "file" / "below", "clip")


def test_old_video_goes_when_a_run_without_video_replaces_it(tmp_path):
    (tmp_path / "tracks.mp4").write_bytes(b"old")
    output = StreamOutput(tmp_path, INFO, ("car",), video=False, show=False)
    assert (tmp_path / "tracks.mp4").exists()
    output.write(frame(1), tracks(1), None)
    output.close()
    output.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tracks.csv", "tracks.txt"]


def test_old_results_stand_until_new_ones_are_whole(tmp_path):
    (tmp_path / "tracks.txt").write_text("old\n")
    output = StreamOutput(tmp_path, INFO, ("car",), video=True, show=False)
    output.write(frame(1), tracks(1), image(1))
    assert (tmp_path / "tracks.txt").read_text() == "old\n"
    output.close()
    assert len(rows(tmp_path / "tracks.txt")) == 3


def test_without_a_display_the_window_says_so_once(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    window = WindowSink("clip")
    window.show(image(1))
    window.close()
    assert "no display" in window.warning and not window.stop_wanted


def test_a_window_that_cannot_be_opened_does_not_end_the_run(monkeypatch):
    monkeypatch.setenv("DISPLAY", ":77")
    window = WindowSink("clip")
    monkeypatch.setattr("cv2.imshow", lambda *_: (_ for _ in ()).throw(__import__("cv2").error("no GTK")))
    window.show(image(1))
    assert "no window can be opened" in window.warning
