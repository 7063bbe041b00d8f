"""The command: what it writes, what it prints, how it ends; one clear message for every kind of bad input."""

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import tracker
from tests.encoders import write_encoder
from tests.processes import start_hearing
from tests.scenes import boxes, decodable, rows, write_detections, write_images, write_sequence, write_video
from tracker.app.cli import main


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("footage")
    write_video(folder / "clip.mp4", 30)
    write_video(folder / "other.mp4", 20)
    write_detections(folder / "det.txt", 30)
    write_encoder(folder / "encoder.pb", crop_rule="stretch", max_cosine_distance=0.3)
    return folder


def words(sources, detector, output, *more, encoder="none"):
    """The command line that tracks a source, or a list of them, with given detections."""
    sources = sources if isinstance(sources, list) else [sources]
    given = [*sources, "--detector", detector, "--encoder", encoder, "--output", output, *more]
    return ["run", *map(str, given)]


def run(footage, output, *more, source="clip.mp4", encoder="none"):
    return main(words(footage / source, footage / "det.txt", output, *more, encoder=encoder))


def test_a_run_writes_everything(footage, tmp_path, capsys):
    assert run(footage, tmp_path / "out", encoder=footage / "encoder.pb") == 0
    out, _err = capsys.readouterr()
    folder = tmp_path / "out"
    assert sorted(p.name for p in folder.iterdir()) == [
        "background.jpg",
        "config.toml",
        "flows.csv",
        "flows.png",
        "heatmap.png",
        "objects.csv",
        "paths.png",
        "report.html",
        "summary.json",
        "tracks.csv",
        "tracks.mp4",
        "tracks.txt",
    ]
    found = rows(folder / "tracks.txt")
    assert all(len(r) == 10 and r[7:] == ["-1", "-1", "-1"] for r in found)
    assert {r[1] for r in found} == {"1", "2", "3"}
    last = np.array([r for r in found if r[0] == "30"], float)
    np.testing.assert_allclose(np.sort(last[:, 2]), np.sort(boxes(30)[:, 0]), atol=2)
    table = rows(folder / "tracks.csv")
    assert table[0] == ["frame", "time_s", "id", "class", "left", "top", "width", "height", "score"]
    assert len(table) == len(found) + 1 and table[1][1] == "0.000"
    assert decodable(folder / "tracks.mp4") == 30
    assert "detector: det.txt" in out and re.search("8-d features, (f32|bf16) on cpu", out)
    assert out.splitlines()[-2].split() == ["source", "frames", "FPS", "start-up", "wall", "objects", "files"]
    assert out.splitlines()[-1].split()[:2] == ["clip", "30"]


def test_summary(footage, tmp_path):
    encoder = footage / "encoder.pb"
    assert run(footage, tmp_path / "out", "-q", "--appearance", "always", encoder=encoder) == 0
    found = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (found["frames"], found["duration_s"], found["share_embedded"], found["objects_per_frame"]) == (
        30,
        3.0,
        1.0,
        3.0,
    )
    assert found["fps"] == pytest.approx(30 / found["elapsed_s"], rel=0.02)
    assert found["objects"] == {"object": 3} and found["tracks"] == 3
    assert found["detector"]["runtime"] == "file" and found["detector"]["path"].endswith("det.txt")
    e = found["encoder"]
    assert (e["name"], e["path"], e["dimension"], e["device"]) == (str(encoder), str(encoder), 8, "cpu")
    assert len(e["sha256"]) == 64 and e["precision"] in ("f32", "bf16")
    assert {"decode", "detect", "crop", "encode", "associate", "draw", "write"} <= set(found["stages"])
    assert all(set(s) == {"p50_ms", "p95_ms", "share"} for s in found["stages"].values())
    assert found["warnings"] == [] and found["device"] == "cpu" and found["error"] is None


def test_quiet_prints_nothing(footage, tmp_path, capsys):
    assert run(footage, tmp_path / "out", "-q") == 0
    assert capsys.readouterr() == ("", "")


def test_verbose_prints_the_stages(footage, tmp_path, capsys):
    assert run(footage, tmp_path / "out", "-v", "--no-video") == 0
    assert "associate     p50" in capsys.readouterr().out


def test_the_written_configuration_repeats_the_run(footage, tmp_path):
    encoder = str(footage / "encoder.pb")
    assert (
        run(footage, tmp_path / "a", "--stride", "2", "--max-age", "7", "--max-frames", "9", "-q", encoder=encoder) == 0
    )
    written = tomllib.loads((tmp_path / "a" / "config.toml").read_text())
    assert written["run"]["stride"] == 2 and written["tracker"]["max_age"] == 7
    assert "max_cosine_distance" not in written["tracker"]  # only the cascade takes the encoder's
    assert main(["run", "--config", str(tmp_path / "a" / "config.toml"), "--output", str(tmp_path / "b"), "-q"]) == 0
    for name in ("tracks.txt", "tracks.csv", "tracks.mp4", "config.toml"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


@pytest.mark.parametrize("appearance", ["always", "auto"])
def test_threads_and_one_thread_write_the_same(footage, tmp_path, appearance):
    for name, more in (("threads", []), ("one", ["--sequential"])):
        more = ["--appearance", appearance, *more]
        assert run(footage, tmp_path / name, "-q", *more, encoder=footage / "encoder.pb") == 0
    for name in ("tracks.txt", "tracks.csv", "tracks.mp4"):
        assert (tmp_path / "threads" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


def test_start_stride_and_max_frames(footage, tmp_path):
    assert (
        run(footage, tmp_path / "out", "-q", "--start", "4", "--stride", "3", "--max-frames", "6", "--n-init", "1") == 0
    )
    assert {r[0] for r in rows(tmp_path / "out" / "tracks.txt")} <= {"4", "7", "10", "13", "16", "19"}
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["frames"] == 6


def test_paper_preset_is_written_out(footage, tmp_path):
    assert run(footage, tmp_path / "out", "-q", "--preset", "paper", "--no-video") == 0
    written = tomllib.loads((tmp_path / "out" / "config.toml").read_text())
    assert written["run"]["preset"] == "paper" and written["tracker"]["max_cosine_distance"] == 0.2


def test_sequence_without_pixels(footage, tmp_path, capsys):
    folder = write_sequence(tmp_path / "seq", 20)
    given = ["run", str(folder), "--detector", str(folder / "det.txt"), "--output"]
    assert main([*given, str(tmp_path / "a"), "--encoder", "none", "--no-video", "-q"]) == 0
    assert {r[1] for r in rows(tmp_path / "a" / "tracks.txt")} == {"1", "2", "3"}
    assert capsys.readouterr().err == ""
    assert main([*given, str(tmp_path / "b"), "--encoder", "none"]) == 0
    assert "no pixels" in capsys.readouterr().err and not (tmp_path / "b" / "tracks.mp4").exists()
    assert main([*given, str(tmp_path / "c")]) == 1
    assert "add --encoder none" in capsys.readouterr().err
    assert main(["run", str(folder), "--detector", "motion", "--encoder", "none", "--output", str(tmp_path / "d")]) == 1
    assert "--detector FILE.txt" in capsys.readouterr().err
    assert not (tmp_path / "c").exists() and not (tmp_path / "d").exists()


def test_several_sources_have_a_folder_each(footage, tmp_path, capsys):
    sources = [footage / name for name in ("clip.mp4", "none.mp4", "other.mp4", "clip.mp4")]
    code = main(words(sources, footage / "det.txt", tmp_path / "two"))
    _out, err = capsys.readouterr()
    assert code == 1 and "none.mp4" in err and "no such file" in err
    assert sorted(p.name for p in (tmp_path / "two").iterdir()) == ["clip", "clip-2", "other"]
    for name, frames in (("clip", 30), ("clip-2", 30), ("other", 20)):
        assert decodable(tmp_path / "two" / name / "tracks.mp4") == frames
        assert {r[1] for r in rows(tmp_path / "two" / name / "tracks.txt")} == {"1", "2", "3"}
        assert json.loads((tmp_path / "two" / name / "summary.json").read_text())["frames"] == frames


def test_default_folders(footage, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert (
            main(["run", str(footage / "clip.mp4"), "--detector", str(footage / "det.txt"), "--encoder", "none", "-q"])
            == 0
        )
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["clip", "clip-2"]


def test_results_are_replaced_only_when_asked(footage, tmp_path, capsys):
    assert run(footage, tmp_path / "out", "-q") == 0
    before = (tmp_path / "out" / "tracks.txt").read_bytes()
    assert run(footage, tmp_path / "out", "-q", "--max-frames", "5") == 1
    assert "give --overwrite" in capsys.readouterr().err
    assert (tmp_path / "out" / "tracks.txt").read_bytes() == before
    assert run(footage, tmp_path / "out", "-q", "--max-frames", "5", "--overwrite", "--no-video") == 0
    assert (tmp_path / "out" / "tracks.txt").read_bytes() != before
    assert not (tmp_path / "out" / "tracks.mp4").exists()


def test_show_without_a_display_goes_on(footage, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert run(footage, tmp_path / "out", "--show", "--no-video") == 0
    assert "no display here" in capsys.readouterr().err


# ---- bad input ------------------------------------------------------------


def with_encoder(footage, encoder, output, *more):
    return words(footage / "clip.mp4", footage / "det.txt", output, "-q", *more, encoder=encoder)


def bad(capsys, code, part, *arguments):
    assert main([*map(str, arguments)]) == code
    _out, err = capsys.readouterr()
    assert part in err, err
    assert "Traceback" not in err and len(err.strip().splitlines()) == 1


def test_bad_sources(footage, tmp_path, capsys):
    (tmp_path / "text.mp4").write_text("no video\n" * 20)
    (tmp_path / "empty").mkdir()
    for part, name in (("no such file", "none.mp4"), ("not a video", "text.mp4"), ("no video and no image", "empty")):
        bad(capsys, 1, part, *words(tmp_path / name, footage / "det.txt", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["x" * 5000, f"a/{'y' * 300}/clip.mp4", "~nobody-here/clip.mp4", "\udce9.mp4"])
def test_texts_that_no_path_can_be(footage, tmp_path, capsys, text):
    """On the command line, among other sources, and in a file of settings."""
    rest = ["--encoder", "none", "--output", tmp_path / "out"]
    bad(capsys, 1, "no such file", text, "--detector", "motion", *rest)
    both = [text, str(footage / "clip.mp4"), "--detector", str(footage / "det.txt"), "--no-video", "--quiet"]
    assert main(["run", *both, *map(str, rest)]) == 1
    assert "is left out" in capsys.readouterr().err and rows(tmp_path / "out" / "clip" / "tracks.txt")
    with suppress(SystemExit):
        assert main(["run", "clip.mp4", "--detector", text]) in (1, 2)
    told = capsys.readouterr().err
    assert "error: " in told and "Traceback" not in told and "fault of the program" not in told


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_standard_output_that_is_full_fails_the_run_and_costs_no_result(footage, tmp_path):
    command = [
        sys.executable,
        "-m",
        "tracker",
        "run",
        str(footage / "clip.mp4"),
        "--detector",
        str(footage / "det.txt"),
    ]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*command, "--encoder", "none", "--output", str(tmp_path / "out")],
            stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert done.returncode == 1 and done.stderr.count("error: ") == 1
    assert "standard output cannot be written (No space left on device); the results are whole" in done.stderr
    assert rows(tmp_path / "out" / "tracks.txt") and (tmp_path / "out" / "report.html").exists()


def test_a_video_that_breaks_off_is_tracked_up_to_there(footage, tmp_path, capsys):
    path = write_video(tmp_path / "clip.avi", 60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    write_detections(tmp_path / "det.txt", 60)
    assert main(words(path, tmp_path / "det.txt", tmp_path / "out")) == 0
    frames = json.loads((tmp_path / "out" / "summary.json").read_text())["frames"]
    assert 20 < frames < 40 and decodable(tmp_path / "out" / "tracks.mp4") == frames
    assert f"breaks off after frame {frames}" in capsys.readouterr().err
    assert "breaks off" in (tmp_path / "out" / "summary.json").read_text()


def test_frames_that_change_size_are_a_counted_warning(footage, tmp_path, capsys):
    folder = write_images(tmp_path / "walk", 10, sizes={4: (320, 240), 5: (80, 60)})
    assert main(words(folder, footage / "det.txt", tmp_path / "out")) == 0
    assert "warning: 2 frames from frame 4 on had another size" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line, part",
    [("1,-1,nonsense", "line 5"), ("<html>", "line 5"), ("2,-1,1,2", "line 5")],
)
def test_a_broken_line_of_detections(footage, tmp_path, capsys, line, part):
    path = write_detections(tmp_path / "det.txt", 30)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:4], line, *lines[4:]]) + "\n")
    bad(capsys, 1, part, *words(footage / "clip.mp4", path, tmp_path / "out", "-q"))
    assert not (tmp_path / "out").exists()


def test_overwrite_replaces_the_results_of_the_default_folder_too(footage, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = words(footage / "clip.mp4", footage / "det.txt", "x")[:-2]
    for more, folders in (((), ["clip"]), (("--overwrite",), ["clip"]), ((), ["clip", "clip-2"])):
        assert main([*given, "--no-video", "-q", *more]) == 0
        assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == folders


def test_a_start_beyond_the_end_is_told(footage, tmp_path, capsys):
    assert run(footage, tmp_path / "out", "--start", "999") == 1
    assert "there is none from --start 999 on" in capsys.readouterr().err


def test_tracks_too_short_to_count_are_told_where_nothing_counts(footage, tmp_path, capsys):
    assert run(footage, tmp_path / "short", "--max-frames", "5") == 0
    assert "too short to count: 3 (" in capsys.readouterr().out
    assert run(footage, tmp_path / "whole") == 0
    assert "too short" not in capsys.readouterr().out


def test_nan_and_inverted_boxes_are_dropped_and_counted(footage, tmp_path, capsys):
    path = write_detections(tmp_path / "det.txt", 30)
    path.write_text(path.read_text() + "4,-1,nan,5,10,10,0.9,-1,-1,-1\n5,-1,50,50,-10,10,0.9,-1,-1,-1\n")
    code = main(words(footage / "clip.mp4", path, tmp_path / "o"))
    err = capsys.readouterr().err
    assert code == 0 and "warning" in err and "2" in err
    assert {r[1] for r in rows(tmp_path / "o" / "tracks.txt")} == {"1", "2", "3"}


def test_an_unknown_class_lists_the_known(footage, tmp_path, capsys):
    given = words(footage / "clip.mp4", "ssdlite", tmp_path / "out", "-q", "--classes", "person,unicorn")
    bad(capsys, 2, "it knows: person", *given)


def test_unwritable_output(footage, tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    for part, output in (
        ("is a file", tmp_path / "file"),
        ("cannot be written", tmp_path / "file" / "out"),
        ("cannot be written", "/proc/out"),
    ):
        bad(capsys, 1, part, *words(footage / "clip.mp4", footage / "det.txt", output))


@pytest.mark.parametrize(
    "data, part",
    [
        (b"<html>not found</html>", "is an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 9\n", "git-lfs pointer"),
        (b"junk" * 40, "no frozen graph"),
        (None, "no such file"),
    ],
)
def test_bad_encoders(footage, tmp_path, capsys, data, part):
    if data is not None:
        (tmp_path / "e.pb").write_bytes(data)
    bad(capsys, 1, part, *with_encoder(footage, tmp_path / "e.pb", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_an_encoder_of_the_wrong_rank(footage, tmp_path, capsys):
    write_encoder(tmp_path / "e.pb", output_rank=4)
    bad(capsys, 1, "expected rank 2", *with_encoder(footage, tmp_path / "e.pb", tmp_path / "out"))


def test_a_gpu_that_is_not_there(footage, tmp_path, capsys):
    import tensorflow as tf

    number = len(tf.config.list_physical_devices("GPU"))
    given = with_encoder(footage, footage / "encoder.pb", tmp_path / "out", "--device", f"gpu:{number}")
    bad(capsys, 1, f"TensorFlow sees {number} GPUs", *given)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a.mp4", "--nonsense"],
        ["a.mp4", "--stride", "x"],
        ["a.mp4", "--stride", "0"],
        ["a.mp4", "--device", "tpu"],
        ["a.mp4", "--detector", "yolo"],
        ["a.mp4", "--encoder", "resnet"],
        ["a.mp4", "--preset", "fast"],
        ["a.mp4", "-q", "-v"],
        ["a.mp4", "--confidence", "2"],
    ],
)
def test_wrong_usage(arguments, capsys):
    try:
        code = main(["run", *arguments])
    except SystemExit as e:
        code = e.code
    assert code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_help_and_bare_runs_do_not_load_tensorflow(footage, tmp_path):
    watch = (
        "import sys; from tracker.app.cli import main\n"
        "try: code = main(sys.argv[1:])\nexcept SystemExit as e: code = e.code\n"
        "assert 'tensorflow' not in sys.modules; sys.exit(code)"
    )
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    given = ["run", str(footage / "clip.mp4"), "--detector", str(footage / "det.txt"), "--encoder", "none"]
    for arguments in (["run", "--help"], [*given, "--output", str(tmp_path / "out"), "-q"]):
        done = subprocess.run(
            [sys.executable, "-c", watch, *arguments], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


def test_a_source_alone_is_run(footage, tmp_path):
    given = ["--detector", str(footage / "det.txt"), "--encoder", "none", "--no-video", "--output"]
    assert main([str(footage / "clip.mp4"), *given, str(tmp_path / "a"), "--conf", "0.1"]) == 0
    assert (tmp_path / "a" / "tracks.txt").exists()


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["runn", "x.mp4"], "did you mean 'run'?"),
        (["x.mp4", "--detecter", "coco"], "did you mean '--detector'?"),
        (["x.mp4", "--classes", "cars"], "did you mean 'car'?"),
        (["x.mp4", "--classes", "people", "--detector", "coco"], "and 68 more; did you mean 'person'?"),
        (["x.mp4", "--classes", "Vehicles"], "did you mean 'car,truck,bus'?"),
        (["x.mp4", "--detector", "cocoo"], "did you mean 'coco'?"),
        (
            ["x.mp4", "--detector", "yolo11n.pt"],
            "yolo export model=yolo11n.pt format=onnx) and give",
        ),
        (["x.mp4", "--detector", "yolov8s"], "yolo export model=yolov8s.pt format=onnx"),
        (["x.mp4", "--preset", "papr"], "did you mean 'paper'?"),
        (["x.mp4", "--max-age", "long"], "--max-age: 'long'; expected a whole number"),
        (["x.mp4", "--confidence", "half"], ": 'half'; expected a number"),
        ([], "nothing to do; give a video"),
    ],
)
def test_a_wrong_word_is_answered_at_once_in_one_line(arguments, text, capsys):
    try:
        code = main(arguments)
    except SystemExit as e:
        code = e.code
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1) and text in err


@pytest.mark.parametrize(
    "source, text",
    [
        ("https://www.youtube.com/watch?v=x", "a page of www.youtube.com, no video; save it first"),
        ("nowhere/*.mp4", "pattern nowhere/*.mp4: no video and no image; expected"),
    ],
)
def test_what_is_no_source_is_answered_in_one_line(source, text, capsys):
    assert main([source, "--encoder", "none"]) == 1
    err = capsys.readouterr().err
    assert text in err and err.count("\n") == 1


def test_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"tracker {tracker.__version__}\n"


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_on_a_terminal_steps_and_progress_are_shown_and_nothing_breaks(footage, tmp_path):
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "tracker", str(footage / "clip.mp4"), "--detector", str(footage / "det.txt")]
    command += ["--encoder", str(footage / "encoder.pb"), "--output", str(tmp_path / "out"), "--no-video"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as run:
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # the terminal is gone with its last writer
            while data := os.read(ours, 65536):
                shown += data
        code = run.wait(120)
    os.close(ours)
    assert code == 0, shown
    assert b"frames of 30 (100%)" in shown and b"start-up" in shown and b"Traceback" not in shown


def test_ctrl_c_while_the_program_is_loaded_is_one_line(tmp_path):
    """A module that takes for ever to load stands in for a slow disk; it says when it is being loaded."""
    package = tmp_path / "tracker" / "app"
    package.mkdir(parents=True)
    command = Path(tracker.__file__).with_name("__main__.py").read_text()
    (tmp_path / "tracker" / "__init__.py").write_text("")
    (tmp_path / "tracker" / "__main__.py").write_text(command)
    (package / "__init__.py").write_text("")
    (package / "cli.py").write_text("import time\nprint('loading', flush=True)\ntime.sleep(60)\n")
    given = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": ""}, "text": True}
    with start_hearing(
        [sys.executable, "-m", "tracker", "x.mp4"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **given
    ) as process:
        assert process.stdout.readline() == "loading\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130 and process.stderr.read() == "interrupted\n"
