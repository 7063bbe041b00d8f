import configparser
import itertools
import subprocess

import cv2
import numpy as np
import pytest

from tracker.errors import OutputError, SourceError
from videos import crossing, fetch
from videos.__main__ import main


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return crossing.make(tmp_path_factory.mktemp("scene"), frames=40, seed=3)


def read(folder):
    return np.loadtxt(folder / "gt" / "gt.txt", delimiter=",")


def test_the_folder_is_a_mot_sequence(made):
    info = configparser.ConfigParser()
    info.read(made / "seqinfo.ini")
    assert info.getint("Sequence", "seqLength") == 40
    video = cv2.VideoCapture(str(made / "crossing.mp4"))
    shapes = []
    while (frame := video.read())[0]:
        shapes.append(frame[1].shape)
    assert shapes == [(360, 640, 3)] * 40
    rows = read(made)
    assert rows.shape[1] == 10 and set(rows[:, 0]) == set(range(1, 41)) and set(rows[:, 6]) <= {0, 1}
    assert len({tuple(r[:2]) for r in rows}) == len(rows)
    assert (
        (rows[:, 2:4] >= 0).all() and (rows[:, 2] + rows[:, 4] <= 640).all() and (rows[:, 3] + rows[:, 5] <= 360).all()
    )
    assert (rows[:, 4:6] > 0).all()
    classes = dict(line.split(",") for line in (made / "gt" / "objects.csv").read_text().split()[1:])
    assert set(classes.values()) == {"car", "pedestrian"} and set(rows[:, 1]) <= set(map(float, classes))


def test_the_boxes_are_exactly_what_is_drawn():
    """An actor alone on the scene differs from the empty scene inside its box, and touches all four of its sides."""
    frame, rows = next(iter(crossing.scene(1, seed=1)))
    ground = crossing.background(640, 360, 1)
    changed = np.abs(frame.astype(int) - ground.astype(int)).max(axis=2) > 45
    assert rows
    for row in (r for r in rows if r.visibility == 1):
        x, y, w, h = int(row.left), int(row.top), int(row.width), int(row.height)
        inside = changed[y : y + h, x : x + w]
        sides = inside[: h // 6], inside[-h // 6 :], inside[:, : w // 5], inside[:, -w // 5 :]
        assert all(side.any() for side in sides), row
        assert inside.mean() > 0.25


def test_a_seed_decides_everything():
    first, again, other = (list(crossing.scene(3, seed=s)) for s in (5, 5, 6))
    for (a, rows_a), (b, rows_b), (c, _) in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert rows_a == rows_b
        assert (a != c).any()


def test_the_story_has_meetings_occlusions_and_returns():
    spans, hidden, meetings = {}, 0, 0
    for seed in (0, 1):
        actors = crossing.cast(seed)
        for actor in actors:
            inside = [0 <= actor.at(t)[0] <= 1 and actor.at(t)[1] <= 1.2 for t in range(1500)]
            spans[seed, actor.id] = sum(b and not a for a, b in itertools.pairwise(inside))
    assert all(returns >= 2 for returns in spans.values())
    for _, rows in crossing.scene(120, seed=0):
        hidden += sum(r.visibility < crossing.VISIBLE for r in rows)
        meetings += sum(0.3 < r.visibility < 0.9 for r in rows)
    assert hidden > 10 and meetings > 50


@pytest.mark.parametrize("frames, size", [(0, (640, 360)), (5, (641, 360)), (5, (20, 20))])
def test_numbers_out_of_range(tmp_path, frames, size):
    with pytest.raises(OutputError, match="expected at least 1"):
        crossing.make(tmp_path, frames=frames, size=size)


def test_commands(tmp_path, capsys):
    assert main(["make", "crossing", "--frames", "2", "--size", "320x180", "--output", str(tmp_path / "a")]) == 0
    assert (tmp_path / "a" / "crossing.mp4").stat().st_size > 1000
    (tmp_path / "file").write_text("")
    assert main(["make", "crossing", "--frames", "2", "--output", str(tmp_path / "file")]) == 1
    assert "cannot be written" in capsys.readouterr().err
    for wrong in (["make", "nothing"], ["fetch", "nothing"], ["make", "crossing", "--size", "big"], []):
        with pytest.raises(SystemExit) as stop:
            main(wrong)
        assert stop.value.code == 2


def test_a_clip_with_the_wrong_bytes_is_refused(tmp_path, monkeypatch):
    page = tmp_path / "page.html"
    page.write_text("<html>")
    clip = fetch.Clip("x.avi", "0" * 64, 10, page.as_uri(), "no-such-package-for-sure", "./x", "note")
    monkeypatch.setitem(fetch.CLIPS, "x", clip)
    with pytest.raises(SourceError, match=r"SHA-256.*instead of.*Debian package no-such"):
        fetch.fetch("x", tmp_path / "out", say=lambda _: None)
    assert not (tmp_path / "out").exists()


def test_a_clip_is_kept_with_its_provenance_and_not_fetched_twice(tmp_path, monkeypatch):
    import hashlib

    original = tmp_path / "there.avi"
    original.write_bytes(b"frames")
    digest = hashlib.sha256(b"frames").hexdigest()
    clip = fetch.Clip("x.avi", digest, 6, original.as_uri(), "p", "./x", "note\n")
    monkeypatch.setitem(fetch.CLIPS, "x", clip)
    got = fetch.fetch("x", tmp_path / "out", say=lambda _: None)
    assert got.read_bytes() == b"frames" and digest in got.with_suffix(".provenance.txt").read_text()
    original.unlink()
    assert fetch.fetch("x", tmp_path / "out", say=lambda _: None) == got


def test_a_member_comes_out_of_a_debian_package(tmp_path, monkeypatch):
    """A real .deb built here, `apt-get` standing in for the network."""
    if not fetch.shutil.which("dpkg-deb"):
        pytest.skip("dpkg-deb is not installed")
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(
        "Package: clips\nVersion: 1\nArchitecture: all\nMaintainer: none <n@example.org>\nDescription: test\n"
    )
    (tree / "data").mkdir()
    (tree / "data" / "x.avi").write_bytes(b"frames")
    subprocess.run(["dpkg-deb", "--build", str(tree), str(tmp_path / "clips.deb")], check=True, capture_output=True)
    programs = tmp_path / "bin"
    programs.mkdir()
    apt = programs / "apt-get"
    apt.write_text(f"#!/bin/sh\ncp {tmp_path}/clips.deb .\n")
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    clip = fetch.Clip("x.avi", "", 6, "", "clips", "./data/x.avi", "")
    assert fetch.from_debian(clip) == b"frames"
    with pytest.raises(SourceError, match="holds no"):
        fetch.from_debian(fetch.Clip("x.avi", "", 6, "", "clips", "./data/y.avi", ""))
