"""Which videos there are, and where long ones are cut."""

import os

import numpy as np
import pytest

from tracker.app.batch.plan import Part, cut, find_videos
from tracker.core.files import path_component
from tracker.errors import SourceError
from tracker.video.timeline import Timeline


@pytest.fixture
def recordings(tmp_path):
    for name in ("north/08.mp4", "north/09.mp4", "south/08.mp4", "gate.avi", "notes.md", ".hidden.mp4"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path


def test_folders_are_searched_and_tell_the_camera(recordings):
    videos, notes = find_videos([str(recordings)])
    assert [(v.name, v.camera) for v in videos] == [
        ("gate", "gate"), ("north_08", "north"), ("north_09", "north"), ("south_08", "south"),
    ]  # fmt: skip
    assert notes == []


def test_lists_name_files_beside_them(recordings):
    (recordings / "list.txt").write_text("# mornings\nnorth/08.mp4\n\nsouth/08.mp4\n")
    videos, _ = find_videos([str(recordings / "list.txt"), str(recordings / "gate.avi")])
    assert [v.name for v in videos] == ["08", "08-2", "gate"]


def test_a_video_under_two_names_is_tracked_once(recordings):
    (recordings / "copy.mp4").write_bytes(b"gate.avi")
    (recordings / "link.mp4").symlink_to(recordings / "gate.avi")
    videos, notes = find_videos([str(recordings)])
    assert len(videos) == 4
    assert [n.split(" is the same")[0].rsplit("/", 1)[1] for n in notes] == ["gate.avi", "link.mp4"]


@pytest.mark.parametrize(
    "name", ["...mp4", ". .mp4", "a\nb.mp4", "CON.mp4", "\\..\\x.mp4", "x" * 240 + ".mp4", b"caf\xe9.mp4"]
)
def test_no_name_in_a_list_leads_out_of_the_output_folder(tmp_path, name):
    name = os.fsdecode(name)
    (tmp_path / name).write_bytes(b"video")
    videos, _ = find_videos([str(tmp_path / name)])
    assert path_component(videos[0].name) == videos[0].name and len(videos[0].name) <= 100
    assert (tmp_path / "out" / videos[0].name).resolve().parent == tmp_path / "out"


def test_names_that_differ_in_what_is_cut_off_or_in_case_have_folders_of_their_own(tmp_path):
    for name in ("x" * 200 + "1", "x" * 200 + "2", "Gate", "gate"):
        (tmp_path / f"{name}.mp4").write_bytes(name.encode())
    names = [v.name.casefold() for v in find_videos([str(tmp_path)])[0]]
    assert len(set(names)) == 4 and names == [v.name.casefold() for v in find_videos([str(tmp_path)])[0]]


def test_a_list_that_names_itself_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("b.txt\n")
    (tmp_path / "b.txt").write_text("./a.txt\n")
    with pytest.raises(SourceError, match="a list that names itself"):
        find_videos([str(tmp_path / "a.txt")])


def test_what_cannot_be_meant(tmp_path):
    with pytest.raises(SourceError, match="no videos; expected files that end in"):
        find_videos([str(tmp_path)])
    with pytest.raises(SourceError, match="no such file or folder"):
        find_videos([str(tmp_path / "gone")])


def timeline(frames, fps=10):
    return Timeline(np.arange(frames), np.arange(1, frames + 1, 10), 1 / fps)


def test_parts_meet_and_overlap():
    parts = cut(timeline(3000), 100.0, 10.0)
    assert parts == [Part(1, 1, 1000), Part(901, 1001, 2000), Part(1901, 2001, None)]


def test_the_last_part_is_never_short():
    assert [p.first for p in cut(timeline(1400), 100.0, 10.0)] == [1]
    assert [p.first for p in cut(timeline(1600), 100.0, 10.0)] == [1, 1001]


@pytest.mark.parametrize("stride", [1, 3, 7])
def test_parts_cover_every_wanted_frame_once(stride):
    parts = cut(timeline(5000), 60.0, 10.0, start=12, max_frames=600, stride=stride)
    covered = [f for p in parts for f in range(p.first, p.last + 1, stride)]
    assert covered == list(range(12, min(5000, 12 + 599 * stride) + 1, stride))
    assert all((p.start - 12) % stride == 0 and p.start <= p.first for p in parts)


def test_without_a_timeline_a_video_stays_whole():
    assert cut(None, 60.0, 10.0, start=5, max_frames=10, stride=2) == [Part(5, 5, 23)]
    assert cut(timeline(5000), None, 10.0) == [Part(1, 1, None)]
    assert cut(timeline(10), 60.0, 10.0, start=500) == [Part(500, 500, None)]
