"""Scenes on the command line: what a run answers, and the same afterwards."""

import csv
import json

import cv2
import numpy as np
import pytest

from tests.scenes import write_detections, write_video
from tracker.app.cli import main

TABLES = ("crossings.csv", "counts.csv", "visits.csv", "occupancy.csv", "hours.csv", "objects.csv", "scene.toml")
SCENE = [
    "--line", "gate=60,10,60,110:in/out", "--line", "slant=20,110,140,60", "--zone", "middle=40,5,100,5,100,115,40,115",
    "--interval", "1s", "--start-time", "2026-11-27T08:00:00.5+01:00",
]  # fmt: skip


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("footage")
    write_video(folder / "clip.mp4", 50)
    write_detections(folder / "det.txt", 50)
    return folder


def run(footage, output, *more):
    given = ["run", str(footage / "clip.mp4"), "--detector", str(footage / "det.txt"), "--encoder", "none", "-q"]
    return main([*given, "--output", str(output), *more])


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_counts(footage, tmp_path):
    """Three blocks: one goes right through x = 60, one left, one hardly moves sideways."""
    assert run(footage, tmp_path, *SCENE) == 0
    crossings = table(tmp_path / "crossings.csv")
    gate = [(c["direction"], c["class"]) for c in crossings if c["line"] == "gate"]
    assert gate == [("out", "object"), ("in", "object")]
    counts = table(tmp_path / "counts.csv")
    assert sum(int(c["count"]) for c in counts) == len(crossings)
    assert {(c["line"], c["direction"]) for c in counts} == {
        ("gate", "in"), ("gate", "out"), ("slant", "left to right"), ("slant", "right to left")
    }  # fmt: skip
    assert len(counts) == 4 * len({c["start"] for c in counts}) and counts[0]["end"] == "2026-11-27T08:00:01.000+01:00"
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["objects"] == {"object": 3} and summary["size"] == [160, 120]
    assert sum(c["count"] for c in summary["counts"]) == len(crossings)


def test_afterwards_is_the_same_to_the_byte(footage, tmp_path):
    assert run(footage, tmp_path / "live", *SCENE) == 0
    assert run(footage, tmp_path / "bare") == 0
    assert main(["count", str(tmp_path / "bare"), *SCENE, "-q"]) == 0
    for name in TABLES:
        assert (tmp_path / "live" / name).read_bytes() == (tmp_path / "bare" / name).read_bytes(), name
    told = [json.loads((tmp_path / n / "summary.json").read_text()) for n in ("live", "bare")]
    assert told[0]["counts"] == told[1]["counts"] and told[0]["start_time"] == told[1]["start_time"]


def test_counting_again_keeps_the_runs_own_scene_and_clock(footage, tmp_path):
    assert run(footage, tmp_path, *SCENE) == 0
    before = {name: (tmp_path / name).read_bytes() for name in TABLES}
    assert main(["count", str(tmp_path), "-q"]) == 0
    assert before == {name: (tmp_path / name).read_bytes() for name in TABLES}


def test_another_scene_replaces_the_tables(footage, tmp_path):
    assert run(footage, tmp_path, *SCENE) == 0
    assert main(["count", str(tmp_path), "--line", "other=60,10,60,110", "-q"]) == 0
    assert not (tmp_path / "visits.csv").exists() and not (tmp_path / "occupancy.csv").exists()
    assert {c["line"] for c in table(tmp_path / "counts.csv")} == {"other"}


def test_flows_are_found_again_where_other_objects_count_or_they_are_missing(footage, tmp_path):
    assert run(footage, tmp_path) == 0
    flows, heat = tmp_path / "flows.csv", tmp_path / "heatmap.png"
    found, drawn = flows.read_bytes(), heat.stat().st_mtime_ns
    assert main(["count", str(tmp_path), "--line", "other=60,10,60,110", "-q"]) == 0
    assert flows.read_bytes() == found and heat.stat().st_mtime_ns == drawn
    flows.unlink()
    assert main(["count", str(tmp_path), "-q"]) == 0
    assert flows.read_bytes() == found and heat.stat().st_mtime_ns > drawn
    assert main(["count", str(tmp_path), "--ignore", "all=0,0,160,0,160,120,0,120", "-q"]) == 0
    assert flows.read_bytes() != found


def test_threads_and_one_thread_answer_the_same(footage, tmp_path):
    assert run(footage, tmp_path / "a", *SCENE) == run(footage, tmp_path / "b", *SCENE, "--sequential") == 0
    for name in TABLES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_the_written_configuration_repeats_the_answers(footage, tmp_path):
    assert run(footage, tmp_path / "a", *SCENE) == 0
    assert main(["run", "--config", str(tmp_path / "a" / "config.toml"), "--output", str(tmp_path / "b"), "-q"]) == 0
    for name in (*TABLES, "config.toml"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


@pytest.mark.parametrize(
    "more, message",
    [
        (["--line", "gate=60,10,600,110"], "outside the frame of 160x120"),
        (["--zone", "z=10,10,50,50,50,10,10,50"], "sides cross each other"),
        (["--ground", "7x40=10,10,50,10,20,20,10,50"], "no quadrilateral"),
        (["--scene", "none.toml"], "none.toml: cannot be read"),
        (["--interval", "soon"], "interval is 'soon'"),
        (["--start-time", "noon"], "start time is 'noon'"),
    ],
)
def test_bad_input_is_one_line_and_loses_nothing(footage, tmp_path, capsys, more, message):
    assert run(footage, tmp_path / "a", *more) in (1, 2)
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1 and not (tmp_path / "a").exists()
    assert run(footage, tmp_path / "b", *SCENE) == 0
    before = {p.name: p.read_bytes() for p in (tmp_path / "b").iterdir()}
    assert main(["count", str(tmp_path / "b"), *more]) in (1, 2)
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
    assert before == {p.name: p.read_bytes() for p in (tmp_path / "b").iterdir()}


@pytest.mark.parametrize("what", ["no tracks", "empty", "broken row", "no summary", "old summary", "later summary"])
def test_count_needs_a_finished_run(footage, tmp_path, capsys, what):
    assert run(footage, tmp_path) == 0
    if what == "no tracks":
        (tmp_path / "tracks.csv").unlink()
    elif what == "empty":
        (tmp_path / "tracks.csv").write_text("")
    elif what == "broken row":
        with open(tmp_path / "tracks.csv", "a") as file:
            file.write("1,2,x\n")
    elif what == "no summary":
        (tmp_path / "summary.json").unlink()
    else:
        told = {"frames": 3} if what == "old summary" else {"size": [160, 120], "schema": 99}
        (tmp_path / "summary.json").write_text(json.dumps(told))
    assert main(["count", str(tmp_path), "--line", "gate=60,10,60,110"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1


def test_the_name_of_a_file_sets_a_guessed_clock(footage, tmp_path, capsys):
    (tmp_path / "VID_20261127_080000.mp4").write_bytes((footage / "clip.mp4").read_bytes())
    given = ["run", str(tmp_path / "VID_20261127_080000.mp4"), "--detector", str(footage / "det.txt")]
    assert main([*given, "--encoder", "none", "--no-video", "--output", str(tmp_path / "out")]) == 0
    assert "guessed from the file name" in capsys.readouterr().out
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["start_time"].startswith("2026-11-27T08:00:00") and summary["start_time_guessed"]


def test_a_detector_that_finds_nothing_is_told(footage, tmp_path, capsys):
    (tmp_path / "none.txt").write_text("1,-1,10,10,5,5,0.9,-1,-1,-1\n")
    given = ["run", str(footage / "clip.mp4"), "--detector", str(tmp_path / "none.txt"), "--encoder", "none"]
    assert main([*given, "--output", str(tmp_path / "out"), "--no-video"]) == 0
    assert "found no object in 50 frames; try --detector motion" in capsys.readouterr().err


def test_a_camera_that_moves_is_told(tmp_path, capsys):
    (tmp_path / "none.txt").write_text("1,-1,10,10,5,5,0.9,-1,-1,-1\n")
    (tmp_path / "pan").mkdir()
    view = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (120, 320, 3), np.uint8), (0, 0), 3)
    view = cv2.normalize(view, None, 0, 255, cv2.NORM_MINMAX)
    for n in range(30):
        cv2.imwrite(str(tmp_path / "pan" / f"{n:03}.png"), view[:, 4 * n : 4 * n + 160])
    given = ["run", str(tmp_path / "pan"), "--detector", str(tmp_path / "none.txt"), "--encoder", "none"]
    assert main([*given, "--output", str(tmp_path / "out"), "--no-video"]) == 0
    assert "the camera moved in 29 of 30 frames: lines" in capsys.readouterr().err


def write_timed(folder, times):
    """The scene filmed at given seconds, by the container's timestamps, and its boxes."""
    from fractions import Fraction

    import av

    from tests.scenes import SIZE, boxes, image

    folder.mkdir()
    rows = []
    with av.open(str(folder / "clip.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for number, time_s in enumerate(times, 1):
            frame = av.VideoFrame.from_ndarray(image(1 + 10 * time_s), format="bgr24")
            frame.pts, frame.time_base = round(1000 * time_s), Fraction(1, 1000)
            container.mux(stream.encode(frame))
            for x1, y1, x2, y2 in boxes(1 + 10 * time_s).tolist():
                rows.append(f"{number},-1,{x1},{y1},{x2 - x1},{y2 - y1},0.9,-1,-1,-1\n")
        container.mux(stream.encode(None))
    (folder / "det.txt").write_text("".join(rows))
    return folder


def test_a_variable_rate_tells_the_same_as_a_constant_one(tmp_path):
    """30 pixels a second on 5 pixels a metre are 21.6 km/h, however the frames come."""
    steps = [0.04, 0.1, 0.06, 0.2, 0.1]
    uneven, time_s = [0.0], 0.0
    while time_s < 4.6:
        time_s += steps[len(uneven) % len(steps)]
        uneven.append(round(time_s, 3))
    asked = ["--line", "gate=60,10,60,110:in/out", "--ground", "32x24=0,0,160,0,160,120,0,120", "--no-video"]
    told = []
    for name, times in (("even", [t / 10 for t in range(48)]), ("uneven", uneven)):
        folder = write_timed(tmp_path / name, times)
        assert run(folder, folder / "out", *asked) == 0
        told.append(
            [(c["direction"], float(c["time_s"]), float(c["speed"])) for c in table(folder / "out" / "crossings.csv")]
        )
    even, other = told
    assert [c[0] for c in even] == [c[0] for c in other] == ["out", "in"]
    for (_, time_even, speed_even), (_, time_other, speed_other) in zip(even, other, strict=True):
        assert time_other == pytest.approx(time_even, abs=0.1) and speed_other == pytest.approx(speed_even, rel=0.05)
    assert even[0][2] == pytest.approx(30 / 5 * 3.6, rel=0.05)


def test_a_scene_of_another_shape_is_told_before_anything_is_loaded(footage, tmp_path, capsys):
    scene = tmp_path / "scene.toml"
    scene.write_text("size = [640, 360]\n[[line]]\nname = 'a'\npoints = [[0.1, 0.5], [0.9, 0.5]]\n")
    assert run(footage, tmp_path / "out", "--scene", str(scene)) in (1, 2)
    assert "drawn on a picture of 640x360" in capsys.readouterr().err
    scene.write_text("size = [1600, 1200]\n[[line]]\nname = 'a'\npoints = [[0.375, 0.1], [0.375, 0.9]]\n")
    assert run(footage, tmp_path / "out", "--scene", str(scene)) == 0
    assert len(table(tmp_path / "out" / "crossings.csv")) == 2


def test_blurred_objects_are_blurred_in_the_video(footage, tmp_path):
    import av

    pictures = {}
    for name, more in (("plain", []), ("blurred", ["--blur", "all"]), ("nobody", ["--blur", "person"])):
        assert run(footage, tmp_path / name, *more) == 0
        with av.open(str(tmp_path / name / "tracks.mp4")) as video:
            frames = [f.to_ndarray(format="bgr24").astype(int) for f in video.decode(video=0)]
        pictures[name] = np.array(frames)
    assert (np.abs(pictures["plain"] - pictures["nobody"]) > 40).mean() == 0  # the scene's blocks are no persons
    different = np.abs(pictures["plain"] - pictures["blurred"]).max(axis=3) > 40
    assert different[5:].any(axis=(1, 2)).all() and different.mean() < 0.2


FLOOR = ["--ground", "32x24=0,0,159,0,159,119,0,119"]


@pytest.mark.parametrize("more", [[], ["--ignore", "post=1,1,9,1,9,9,1,9"], FLOOR, [*FLOOR, "--unit", "mph"]])
def test_what_is_given_besides_lines_and_zones_comes_to_the_run_s_own_scene(footage, tmp_path, more):
    """As the hint says to do with what never moved, and the export of paths with the ground."""
    assert run(footage, tmp_path / "run", *SCENE) == 0
    before = [(c["time_s"], c["line"], c["direction"]) for c in table(tmp_path / "run" / "crossings.csv")]
    assert main(["count", str(tmp_path / "run"), *more, "-q"]) == 0
    after = table(tmp_path / "run" / "crossings.csv")
    assert before and [(c["time_s"], c["line"], c["direction"]) for c in after] == before
    assert table(tmp_path / "run" / "visits.csv")
    told = (tmp_path / "run" / "scene.toml").read_text()
    assert ("post" in told) == ("--ignore" in more) and ("[ground]" in told) == ("--ground" in more)
    assert main(["count", str(tmp_path / "run"), "--line", "other=80,10,80,110", "-q"]) == 0
    assert {c["line"] for c in table(tmp_path / "run" / "crossings.csv")} == {"other"}
