"""Sources of frames, good and bad."""

import io
import re
import wave

import av
import cv2
import numpy as np
import pytest

from tests.scenes import SIZE, image, write_images, write_sequence, write_video
from tracker.core.address import Address
from tracker.errors import LostError, SourceError
from tracker.video.frame_source import FrameRange
from tracker.video.images import sorted_images
from tracker.video.live import AddressFeed, CameraFeed, LiveSource, MissingPictures
from tracker.video.pictures import Converter
from tracker.video.sources import expand_source, open_source


def read(text, window=None):
    with open_source(str(text), window) as source:
        frames = list(source)
    return source, frames


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
def test_video_file(tmp_path, suffix):
    source, frames = read(write_video(tmp_path / f"clip{suffix}", 12, fps=10))
    assert (source.info.name, source.info.size, source.info.frames, source.info.live) == ("clip", SIZE, 12, False)
    assert [f.index for f in frames] == list(range(1, 13))
    np.testing.assert_allclose([f.time_s for f in frames], np.arange(12) / 10, atol=1e-3)
    assert np.abs(frames[5].image.astype(int) - image(6)).mean() < 8
    assert source.warnings == []


@pytest.mark.parametrize(
    "window, expected",
    [
        (FrameRange(3, 4, 1), [3, 4, 5, 6]),
        (FrameRange(2, None, 5), [2, 7, 12]),
        (FrameRange(1, 2, 3), [1, 4]),
        (FrameRange(12, 9, 1), [12]),
        (FrameRange(50), []),
    ],
)
def test_window(tmp_path, window, expected):
    for path in (write_video(tmp_path / "clip.mp4", 12), write_images(tmp_path / "images", 12)):
        source, frames = read(path, window)
        assert [f.index for f in frames] == expected
        assert source.info.frames == len(expected)
        assert source.info.fps == pytest.approx((10 if path.suffix else 25) / window.stride)


def test_start_beyond_the_end_is_told(tmp_path):
    source, _ = read(write_video(tmp_path / "clip.mp4", 5), FrameRange(9))
    assert "fewer than --start 9" in source.warnings[-1]


def test_images_in_the_order_of_their_numbers(tmp_path):
    folder = write_images(tmp_path / "walk", 12)
    source, frames = read(folder)
    assert source.info.name == "walk"
    assert [f.index for f in frames] == list(range(1, 13))
    np.testing.assert_array_equal(frames[9].image, image(10))
    _, globbed = read(folder / "frame*.png")
    assert len(globbed) == 12
    assert [p.name for p in sorted_images([folder / "b10.png", folder / "b9.png", folder / "a.txt"])] == [
        "b9.png",
        "b10.png",
    ]


def test_one_image_is_a_source(tmp_path):
    _, frames = read(write_images(tmp_path / "one", 1) / "frame1.png")
    assert len(frames) == 1


def test_a_broken_image_is_counted_and_its_number_stays_free(tmp_path):
    folder = write_images(tmp_path / "walk", 5)
    (folder / "frame3.png").write_bytes(b"no image")
    source, frames = read(folder)
    assert [f.index for f in frames] == [1, 2, 4, 5]
    assert "1 images cannot be read, the first is frame3.png" in source.warnings[0]


def test_frames_that_change_size_are_scaled_and_counted(tmp_path):
    folder = write_images(tmp_path / "walk", 6, sizes={3: (80, 60), 4: (320, 240)})
    source, frames = read(folder)
    assert {f.image.shape for f in frames} == {(SIZE[1], SIZE[0], 3)}
    assert "2 frames from frame 3 on had another size" in source.warnings[0]


def test_sequence_with_and_without_pixels(tmp_path):
    source, frames = read(write_sequence(tmp_path / "full", 6, images=True))
    assert (source.info.name, source.info.frames, source.info.fps, source.info.pixels) == ("full", 6, 10.0, True)
    assert len(frames) == 6
    source, frames = read(write_sequence(tmp_path / "bare", 6))
    assert not source.info.pixels
    assert all(f.image is None and f.size == SIZE for f in frames)
    assert [f.index for f in frames] == [1, 2, 3, 4, 5, 6]


def test_sequence_takes_the_one_video_in_its_folder(tmp_path):
    folder = write_sequence(tmp_path / "seq", 6)
    write_video(folder / "clip.mp4", 6)
    source, frames = read(folder)
    assert source.info.name == "seq" and len(frames) == 6 and frames[0].image is not None


def test_sequence_with_fewer_images_than_promised_is_told(tmp_path):
    folder = write_sequence(tmp_path / "seq", 6, images=True)
    (folder / "img1" / "frame6.png").unlink()
    source, _ = read(folder)
    assert "5 images where seqinfo.ini promises 6" in source.warnings[0]


def bad_sources(tmp_path):
    (tmp_path / "text.mp4").write_text("this is no video\n" * 50)
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_bytes(b"no image")
    whole = write_video(tmp_path / "whole.mp4", 5).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 3])
    return tmp_path


@pytest.mark.parametrize(
    "name, part",
    [
        ("none.mp4", "no such file"),
        ("text.mp4", "not a video"),
        ("empty.mp4", "not a video"),
        ("cut.mp4", "video"),
        ("folder", "no video and no image"),
        ("broken", "none of its 1 images"),
        ("*.jpg", "no video and no image"),
        ("99", "camera 99"),
    ],
)
def test_bad_sources_say_what_is_wrong(tmp_path, name, part, monkeypatch):
    bad_sources(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=part):
        open_source(name)


def test_a_video_without_frames(tmp_path):
    path = tmp_path / "sound.mp4"
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(16000))
    with pytest.raises(SourceError, match="no video stream"):
        open_source(str(path))


def test_a_video_that_breaks_off_is_read_up_to_there_and_told(tmp_path):
    path = write_video(tmp_path / "clip.avi", 60)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    source, frames = read(path)
    assert 20 < len(frames) < 40
    assert [f.index for f in frames] == list(range(1, len(frames) + 1))
    assert any("breaks off after frame" in w and str(len(frames)) in w for w in source.warnings)


def test_broken_packets_are_skipped(tmp_path):
    path = write_video(tmp_path / "clip.mp4", 60)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = b"\xff" * 400
    path.write_bytes(bytes(data))
    _source, frames = read(path)
    assert len(frames) > 20
    assert all(f.image.shape == (SIZE[1], SIZE[0], 3) for f in frames)


def gif(path, frames, times):
    """An animated picture whose pictures may say how long each is shown, as makers of GIFs leave out."""
    if not cv2.imwritemulti(str(path), [image(k) for k in range(frames)]):
        pytest.skip("this OpenCV writes no GIF")
    data = path.read_bytes()
    path.write_bytes(data if times else re.sub(rb"\x21\xf9\x04.{4}\x00", b"", data, flags=re.DOTALL))
    return path


@pytest.mark.parametrize("times", [True, False])
def test_an_animated_gif_is_read_to_its_end(tmp_path, times):
    _source, frames = read(gif(tmp_path / "a.gif", 8, times))
    assert len(frames) == 8 and np.abs(frames[7].image.astype(int) - image(7)).mean() < 20


@pytest.mark.parametrize("kind", ["ts", "flv"])
def test_damage_that_the_decoder_gets_over_is_told(tmp_path, kind):
    path = tmp_path / f"clip.{kind}"
    write_video(path, 60)
    whole, frames = read(path)
    assert not whole.warnings and len(frames) == 60
    data = bytearray(path.read_bytes())
    if kind == "ts":  # some cells are lost; containers without an index end in mid-packet
        del data[188 * 40 : 188 * 55]
    path.write_bytes(data if kind == "ts" else data[: len(data) // 2 + 7])
    damaged, frames = read(path)
    assert frames and any("damaged packets or pictures, the first after frame" in w for w in damaged.warnings)


def test_times_never_run_backwards(tmp_path):
    _source, frames = read(write_video(tmp_path / "clip.mp4", 20))
    assert (np.diff([f.time_s for f in frames]) > 0).all()


@pytest.mark.parametrize("kind", ["video", "images"])
def test_a_primer_spreads_over_the_first_seconds_and_is_shown_again(tmp_path, kind):
    for frames, expected in ((60, [1, 6, 11, 16, 21, 26, 31, 36]), (3, [1, 2, 3])):
        path = write_video(tmp_path / f"{frames}.mp4", frames, fps=10)
        if kind == "images":
            path = images_of(path, tmp_path / str(frames))
        _source, alone = read(path)
        seconds = 4 if kind == "video" else 1.6  # 25 images a second
        with open_source(str(path)) as source:
            primer = source.primer(count=8, seconds=seconds)
            again = list(source)
        assert [f.index for f in primer] == expected
        assert [(f.index, f.time_s) for f in again] == [(f.index, f.time_s) for f in alone]
        for a, b in zip(alone, again, strict=True):
            np.testing.assert_array_equal(a.image, b.image)
        for f in primer:
            np.testing.assert_array_equal(f.image, again[f.index - 1].image)
        assert source.warnings == []


def test_a_primer_begins_where_the_run_does(tmp_path, monkeypatch):
    path = write_video(tmp_path / "clip.mp4", 40, fps=10)
    opened, av_open = [], av.open
    monkeypatch.setattr(av, "open", lambda *given, **more: opened.append(given) or av_open(*given, **more))
    with open_source(str(path), FrameRange(11, 20, 2)) as source:
        assert [f.index for f in source.primer(count=4, seconds=2)] == [11, 16, 21, 26]
        assert [f.index for f in source] == list(range(11, 41, 2))
    assert len(opened) == 1


def test_a_folder_or_pattern_of_videos_is_a_list_of_sources(tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    videos = [str(write_video(folder / name, 3)) for name in ("b.mp4", "a.avi")]
    (folder / "notes.txt").write_text("x")
    said = []
    assert expand_source(str(folder), said.append) == expand_source(str(folder / "*"), said.append) == sorted(videos)
    assert expand_source(str(folder / "*.mp4"), said.append) == [videos[0]]
    assert expand_source(str(tmp_path / "*.mp4"), said.append) == [str(tmp_path / "*.mp4")]
    images = str(images_of(folder / "b.mp4", tmp_path / "images"))
    for one in (images, f"{images}/*", videos[0], "rtsp://camera/a*", "0", str(tmp_path / "none.mp4")):
        assert expand_source(one, said.append) == [one]
    assert not said


@pytest.mark.parametrize(
    "images, taken", [(4, "the 2 videos are tracked"), (40, "the 40 images are tracked as frames")]
)
def test_previews_are_no_frames_and_what_is_left_out_is_told(tmp_path, images, taken):
    videos = [str(write_video(tmp_path / name, 3)) for name in ("a.avi", "b.mp4")]
    for k in range(images):
        cv2.imwrite(str(tmp_path / f"{k}.png"), np.zeros((8, 8, 3), np.uint8))
    said = []
    assert expand_source(str(tmp_path), said.append) == (videos if "videos are" in taken else [str(tmp_path)])
    assert len(said) == 1 and taken in said[0] and "left out" in said[0]


@pytest.mark.parametrize(
    "name, data, told", [("a.mp4", b"", "the file is empty"), ("a b.yuv", bytes(9000), "-i 'a b.yuv'")]
)
def test_why_a_file_is_no_video(tmp_path, name, data, told):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SourceError, match=told):
        open_source(str(tmp_path / name))


def images_of(video, folder):
    folder.mkdir()
    with open_source(str(video)) as source:
        for frame in source:
            cv2.imwrite(str(folder / f"{frame.index}.png"), frame.image)
    return folder


def test_a_camera_feed_that_fails_is_our_error(monkeypatch):
    class Closed:
        def isOpened(self):
            return False

        def release(self):
            pass

    monkeypatch.setattr(cv2, "VideoCapture", lambda index: Closed())
    with pytest.raises(SourceError, match="cannot be opened"):
        CameraFeed(0)


def test_a_live_source_tells_the_time_that_passed_while_its_feed_stood_still():
    class Feed:
        """Thirty pictures, ten a second; the fifteenth comes after ten seconds and a half."""

        fps, now, count, broken, time = 10.0, 100.0, 0, 0, float("-inf")

        def read(self):
            self.count += 1
            self.now += 10.5 if self.count == 15 else 0.1
            return image(self.count) if self.count <= 30 else None

        def release(self):
            pass

    feed = Feed()
    with LiveSource("0", FrameRange(), reconnect_s=0.0, feed=feed, clock=lambda: feed.now) as source:
        times, told = [], []
        with pytest.raises(LostError):
            for frame in source:
                times.append(frame.time_s)
                told += source.news()
                if frame.index == 14:  # while the fifteenth is waited for
                    feed.now += 6
                    told += source.news()
                    assert source.state == "no frame for 6 s"
                    feed.now -= 6
        told += source.news()
    assert told[:2] == ["no frame for 6 s, waiting", "back after 10 s"] and told[2].startswith("lost after frame 30")
    assert any(w == "no frame for 10.5 s after frame 14" for w in source.warnings)
    np.testing.assert_allclose(times, [0.1 * k + (10.4 if k >= 14 else 0) for k in range(30)], atol=1e-9)


@pytest.mark.parametrize(
    "steps, missing",
    [
        ([40] * 30, 0),
        ([40] * 12 + [80] + [40] * 5, 1),
        ([40] * 12 + [201] + [40] * 5, 4),
        ([33, 34, 33] * 5 + [67] + [33, 34] * 5 + [100] + [33] * 5, 3),
        ([40] * 15 + [80] * 20, 0),  # a camera that halves its rate at night
        ([40, 55, 20, 90, 35] * 6, 0),
        ([0] * 20, 0),
    ],
)
def test_pictures_that_never_came_leave_a_gap_in_an_even_clock(steps, missing):
    gaps = MissingPictures()
    assert sum(gaps.look(t) for t in np.cumsum([0, *steps]) / 1000) == missing


@pytest.mark.parametrize("lost", [0, 4])
def test_what_a_network_loses_is_counted(tmp_path, lost):
    """An MPEG transport stream of which some of the datagrams, seven cells of 188 bytes each, do not arrive."""
    write_video(tmp_path / "clip.ts", 60)
    data = (tmp_path / "clip.ts").read_bytes()
    datagrams = [data[at : at + 1316] for at in range(0, len(data), 1316)]
    missing = np.linspace(len(datagrams) // 4, len(datagrams) - 4, lost).astype(int).tolist()
    arrived = b"".join(d for number, d in enumerate(datagrams) if number not in missing)
    container = av.open(io.BytesIO(arrived))
    feed = AddressFeed(Address("udp://127.0.0.1:9"), container=container)
    source = LiveSource("udp://127.0.0.1:9", FrameRange(max_frames=40), reconnect_s=0.1, feed=feed)
    assert sum(1 for _ in source) > 30
    told = [w for w in source.warnings if "lost or broken" in w]
    assert len(told) == bool(lost) and all(1 <= int(w.split()[2]) <= 3 * lost for w in told)


@pytest.mark.parametrize("width", [640, 70])  # rows without and with a gap behind them
def test_pictures_are_writable_and_of_their_own(width):
    rng = np.random.default_rng(0)
    decoded = av.VideoFrame.from_ndarray(rng.integers(0, 255, (48, width, 3), np.uint8), format="bgr24")
    converter = Converter()
    for frame in (decoded, decoded.reformat(format="yuv420p")):
        first, second = converter(frame), converter(frame)
        right = frame.to_ndarray(format="bgr24")
        first[:] = 0  # as what is drawn on does
        np.testing.assert_array_equal(second, right)
        np.testing.assert_array_equal(converter(frame), right)
