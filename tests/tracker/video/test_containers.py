"""Containers as recorders write them: which stream, how long, which clock, which pixels; names with colons."""

import gc
import itertools
import warnings
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from tests.scenes import SIZE, image
from tracker.app.outputs import StreamOutput
from tracker.core.types import Tracks
from tracker.errors import SourceError
from tracker.video.containers import cut_off
from tracker.video.sources import open_source


def clip(
    path,
    frames=30,
    *,
    size=SIZE,
    pts=lambda i: 3600 * i,
    codec="libx264",
    pix_fmt="yuv420p",
    aspect=None,
    base=90_000,
):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.codec_context.time_base = stream.time_base = Fraction(1, base)
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        for i in range(frames):
            frame = av.VideoFrame.from_ndarray(cv2.resize(image(i + 1), size), format="bgr24")
            frame.pts, frame.time_base = pts(i), Fraction(1, base)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def read(path):
    with open_source(str(path)) as source:
        frames = list(source)
    return source, frames


def two_streams(path, default):
    """A small black stream and the scene, either of them first; `default` is flagged."""
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", rate=25) for _ in range(2)]
        for stream, size in zip(streams, ((96, 54), SIZE), strict=True):
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            stream.disposition = av.stream.Disposition(0)
        if default is not None:
            streams[default].disposition = av.stream.Disposition.default
        for i in range(5):
            for stream in streams:
                frame = av.VideoFrame.from_ndarray(
                    cv2.resize(image(i + 1), (stream.width, stream.height)), format="bgr24"
                )
                frame.pts = i
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("default, size", [(1, SIZE), (0, (96, 54)), (None, SIZE)])
def test_the_default_stream_is_tracked_else_the_largest(tmp_path, default, size):
    source, frames = read(two_streams(tmp_path / "two.mkv", default))
    assert source.info.size == size and len(frames) == 5
    assert any("2 video streams" in w and f"{size[0]}x{size[1]}" in w for w in source.warnings)


@pytest.mark.parametrize(
    "pts",
    [lambda i: 3600 * i * (1 + (i > 10)), lambda i: 900_000 + 3600 * i, lambda i: 3600 * i + 360_000 * (i > 20)],
    ids=["variable", "offset", "gap"],
)
@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
def test_a_whole_file_does_not_break_off_whatever_its_clock(tmp_path, suffix, pts):
    source, frames = read(clip(tmp_path / f"whole{suffix}", pts=pts))
    assert len(frames) == 30 and not source.warnings and not cut_off(tmp_path / f"whole{suffix}")


@pytest.mark.parametrize("suffix", [".mkv", ".avi"])
def test_a_file_that_breaks_off_is_named(tmp_path, suffix):
    path = clip(tmp_path / f"cut{suffix}", 60, codec="mjpeg", pix_fmt="yuvj420p", base=25, pts=int)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    source, frames = read(path)
    assert 10 < len(frames) < 60 and any("breaks off after frame" in w for w in source.warnings)


def test_a_recording_without_its_index_says_so(tmp_path):
    path = clip(tmp_path / "cut.mp4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SourceError, match="moov, is missing: the recording was cut off"):
        open_source(str(path))


@pytest.mark.parametrize("name", ["2026-11-27T12:00:05.mp4", "http:a.mp4", "concat:x.mp4", "file:b.mp4"])
def test_a_name_with_a_colon_is_a_file(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    clip(tmp_path / "a.mp4", 3).rename(tmp_path / name)
    for text in (name, f"./{name}", str(tmp_path / name)):
        assert len(read(text)[1]) == 3
    assert len(read((tmp_path / name).as_uri())[1]) == 3


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_a_clock_that_no_camera_has_is_not_believed(tmp_path, suffix):
    source, frames = read(clip(tmp_path / f"clock{suffix}", 30, pts=int))
    assert frames[-1].time_s == pytest.approx(29 / 25, abs=0.1) and source.info.fps == 25
    assert any("not believed" in w for w in source.warnings)


def test_pixels_keep_their_aspect(tmp_path):
    source, frames = read(clip(tmp_path / "wide.mp4", aspect=Fraction(16, 11)))
    assert source.info.pixel_aspect == Fraction(16, 11)
    output = StreamOutput(tmp_path, source.info, ("x",), video=True, show=False)
    for frame in frames:
        output.write(frame, Tracks.empty(), frame.image)
    output.close()
    with av.open(str(tmp_path / "tracks.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(16, 11)


@pytest.mark.parametrize("size", [(17_000, 16), (16, 17_000), (1, 1), (300, 2)])
def test_a_size_that_the_video_cannot_have_is_tracked_without(tmp_path, size):
    source, frames = read(clip(tmp_path / "large.mkv", 2, size=size, codec="ffv1", pix_fmt="yuv444p"))
    output = StreamOutput(tmp_path, source.info, ("x",), video=True, show=False)
    for frame in frames:
        output.write(frame, Tracks.empty(), frame.image)
    output.close()
    assert any("cannot hold frames" in w and "--no-video" in w for w in output.warnings)
    assert not list(tmp_path.glob("*tracks.mp4*")) and (tmp_path / "tracks.txt").exists()


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_deep_greys_are_shown_in_their_range(tmp_path, bits):
    for i in range(3):
        grey = cv2.cvtColor(image(i + 1), cv2.COLOR_BGR2GRAY)
        grey[0, 0] = 255
        deep = grey if bits == 8 else (grey.astype(np.uint16) << (bits - 8))
        cv2.imwrite(str(tmp_path / f"{i}.png"), deep)
    frames = read(tmp_path)[1]
    for i, frame in enumerate(frames):
        wanted = cv2.cvtColor(image(i + 1), cv2.COLOR_BGR2GRAY).astype(int)
        assert np.abs(frame.image[1:, 1:, 0].astype(int) - wanted[1:, 1:]).max() <= 1


def test_patterns_name_folders_after_each_other_and_numbers_as_c_does(tmp_path):
    for number, folder in enumerate(("b10", "b9")):
        (tmp_path / "s" / folder).mkdir(parents=True)
        for i in range(3):
            cv2.imwrite(str(tmp_path / "s" / folder / f"{i:03d}.png"), np.full((20, 30, 3), 100 * number + i, np.uint8))
    source, frames = read(tmp_path / "s" / "*" / "*.png")
    assert source.info.name == "s" and [f.image[0, 0, 0] for f in frames] == [100, 101, 102, 0, 1, 2]
    (tmp_path / "s" / "b9" / "x01.png").write_bytes(b"no")
    assert len(read(tmp_path / "s" / "b9" / "%03d.png")[1]) == 3


@pytest.mark.parametrize("suffix", [".tif", ".webp", ".png"])
def test_the_pages_of_one_file_are_frames(tmp_path, suffix):
    path = str(tmp_path / f"pages{suffix}")
    pictures = [image(i + 1) for i in range(6)]
    if suffix == ".tif":
        cv2.imwritemulti(path, pictures)
    else:
        animation = cv2.Animation()
        animation.frames = [cv2.cvtColor(p, cv2.COLOR_BGR2BGRA) for p in pictures]
        animation.durations = [40] * 6
        cv2.imwriteanimation(path, animation)
    frames = read(path)[1]
    assert len(frames) == 6 and np.abs(frames[4].image.astype(int) - pictures[4]).mean() < 3


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"BM" + b"\xff" * 60, b"P6 99999999 99999999 255\n"])
def test_a_picture_that_promises_too_much_is_no_frame(tmp_path, data):
    (tmp_path / "0.bmp").write_bytes(data)
    (tmp_path / "1.ppm").write_bytes(data)
    cv2.imwrite(str(tmp_path / "2.png"), image(1))
    source, frames = read(tmp_path)
    assert [f.index for f in frames] == [3] and any("2 images cannot be read" in w for w in source.warnings)


def playlist(path, entry):
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.2,\n{entry}\n#EXT-X-ENDLIST\n")
    return path


@pytest.mark.parametrize("name", ["piece.ts", "deeper/piece.ts"])
def test_a_playlist_reads_what_lies_in_its_folder(tmp_path, name):
    (tmp_path / "deeper").mkdir()
    clip(tmp_path / name)
    with open_source(str(playlist(tmp_path / "list.m3u8", name))) as source:
        assert sum(1 for _ in source) == 30


def test_a_playlist_without_an_end_is_a_recording_that_was_cut_off(tmp_path):
    clip(tmp_path / "piece.ts")
    whole = playlist(tmp_path / "list.m3u8", "piece.ts").read_text()
    (tmp_path / "list.m3u8").write_text(whole.replace("#EXT-X-ENDLIST", "").replace("DURATION:2", "DURATION:1"))
    with open_source(str(tmp_path / "list.m3u8")) as source:
        assert sum(1 for _ in source) == 30
    assert any("breaks off after frame 30" in w for w in source.warnings)


def test_no_file_of_a_playlist_stays_open(tmp_path):
    clip(tmp_path / "piece.ts")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ResourceWarning)
        for all_of_it in (True, False):
            with open_source(str(playlist(tmp_path / "list.m3u8", "piece.ts"))) as source:
                assert sum(1 for _ in (source if all_of_it else itertools.islice(source, 3))) >= 3
            del source
            gc.collect()
    assert not [w for w in told if "list.m3u8" in str(w.message) or "piece.ts" in str(w.message)]


@pytest.mark.parametrize("entry", ["{}/piece.ts", "file:{}/piece.ts", "file://{}/piece.ts", "../private/piece.ts",
                                   "link/piece.ts", "http://127.0.0.1:9/piece.ts", "crypto:{}/piece.ts"])  # fmt: skip
def test_a_playlist_reads_nothing_elsewhere(tmp_path, entry):
    private, public = tmp_path / "private", tmp_path / "public"
    private.mkdir()
    public.mkdir()
    (public / "link").symlink_to(private)
    clip(private / "piece.ts")
    for name, end in (("list.m3u8", "outside its folder|Invalid data"), ("list.mp4", "not a video")):
        with pytest.raises(SourceError, match=end):
            open_source(str(playlist(public / name, entry.format(private))))


@pytest.mark.parametrize("text", [
    "ffconcat version 1.0\nfile piece.ts\n",
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
], ids=["concat", "sdp"])  # fmt: skip
def test_a_list_of_other_places_is_no_video(tmp_path, text):
    clip(tmp_path / "piece.ts")
    (tmp_path / "clip.mp4").write_text(text)
    with pytest.raises(SourceError, match="a list of other files, devices or addresses"):
        open_source(str(tmp_path / "clip.mp4"))
