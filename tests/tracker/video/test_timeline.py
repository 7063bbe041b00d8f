"""Jumping into a file gives the frames that reading from its start gives."""

from fractions import Fraction

import av
import numpy as np
import pytest

from tests.scenes import SIZE, image, write_video
from tracker.video.files import VideoFile
from tracker.video.frame_source import FrameRange
from tracker.video.timeline import read_timeline

FRAMES = 150


def write(path, *, codec="libx264", options=None, pts=lambda i: 2 * i):
    """A video whose pictures can be told apart, with the encoder's options and times of one's own."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        if codec == "libx264":
            stream.codec_context.time_base = Fraction(1, 50)
        for i in range(FRAMES):
            picture = image(1 + i % 30)
            picture[:, : 1 + i] //= 2
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = pts(i), Fraction(1, 50)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


CASES = {
    "pyramid.mp4": {"options": {"bf": "3", "g": "24", "b-pyramid": "normal"}},
    "open.mkv": {"options": {"bf": "3", "g": "24", "x264-params": "open-gop=1"}},
    "uneven.mp4": {"options": {"g": "24"}, "pts": lambda i: 2 * i + (i % 7 == 0)},
    "old.avi": {"codec": "mpeg4", "options": {"g": "24"}},
}


@pytest.mark.parametrize("name", CASES)
def test_a_jump_lands_on_the_frame_that_counting_finds(tmp_path, name):
    path = write(tmp_path / name, **CASES[name])
    with VideoFile(str(path), "clip", FrameRange()) as source:
        whole = {f.index: f for f in source}
    assert len(whole) == FRAMES
    for start in (101, 121, 122, 144, 150):
        with VideoFile(str(path), "clip", FrameRange(start, 3)) as source:
            found = list(source)
        assert [f.index for f in found] == list(range(start, min(start + 3, FRAMES + 1)))
        for frame in found:
            assert frame.time_s == pytest.approx(whole[frame.index].time_s, abs=1e-9)
            np.testing.assert_array_equal(frame.image, whole[frame.index].image)


def test_the_timeline_knows_key_frames(tmp_path):
    timeline = read_timeline(str(write(tmp_path / "clip.mp4", options={"g": "24", "bf": "0", "sc_threshold": "0"})))
    assert len(timeline) == FRAMES and timeline.keys.tolist() == list(range(1, FRAMES + 1, 24))
    np.testing.assert_allclose(np.diff(timeline.seconds()), 0.04)
    assert timeline.before(20) is None and timeline.before(97)[0] == 97 and timeline.before(96)[0] == 73


def test_what_cannot_be_relied_upon_has_none(tmp_path):
    assert read_timeline(str(write_video(tmp_path / "clip.mp4", 5))) is not None
    (tmp_path / "none.mp4").write_bytes(b"nothing of the kind")
    assert read_timeline(str(tmp_path / "none.mp4")) is None
