"""What goes wrong in a run: each fault ends within seconds, with whole rows and a video that plays up to there."""

import http.server
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import ClassVar

import cv2
import pytest

from tests.disks import fill_up
from tests.processes import start_hearing
from tests.runs import ColourMean, SceneDetector, SceneSource, make_pipeline
from tests.scenes import decodable, image, rows, write_detections, write_video
from tracker.app import pipeline as pipeline_module
from tracker.app.channel import Channel
from tracker.errors import LostError, OutputError


def fail_at(number, error):
    def hook(index):
        if index == number:
            raise error

    return hook


def run_fast(pipeline, limit_s=8):
    start = time.perf_counter()
    pipeline.run(every_s=0.02)
    assert time.perf_counter() - start < limit_s


@pytest.mark.parametrize("threads", [True, False])
@pytest.mark.parametrize("part", ["source", "detector", "encoder"])
def test_a_part_that_raises(tmp_path, part, threads):
    hook = fail_at(12, RuntimeError(f"{part} broke"))
    source = SceneSource(hook=hook if part == "source" else None)
    detectors = [SceneDetector(hook if part == "detector" else None)]
    encoder = ColourMean(hook if part == "encoder" else None)
    pipeline = make_pipeline(tmp_path, [source], detectors=detectors, encoder=encoder, threads=threads)
    run_fast(pipeline)
    stream = pipeline.streams[0]
    assert str(stream.ending.error) == f"{part} broke" and stream.counts.frames == 11
    assert decodable(tmp_path / "scene" / "tracks.mp4") == 11
    assert {r[0] for r in rows(tmp_path / "scene" / "tracks.txt")} == {str(i) for i in range(1, 12)}
    assert source.closed


@pytest.mark.parametrize("name, frames", [("tracks.txt", 5000), ("tracks.mp4", 300)])
def test_the_disk_fills(tmp_path, name, frames, monkeypatch, capsys):
    fill_up(monkeypatch, name, 3_000 if name == "tracks.txt" else 60_000)
    pipeline = make_pipeline(tmp_path, [SceneSource(frames=frames)])
    run_fast(pipeline, 20)
    stream = pipeline.streams[0]
    assert isinstance(stream.ending.error, OutputError) and "No space left" in str(stream.ending.error)
    assert len(rows(tmp_path / "scene" / "tracks.txt")) > 20
    assert all(len(r) == 10 for r in rows(tmp_path / "scene" / "tracks.txt"))
    assert 10 <= decodable(tmp_path / "scene" / "tracks.mp4") < 300
    if name == "tracks.mp4":  # a video that cannot go on, as with 4 GB on FAT, takes neither rows nor answers with it
        assert stream.counts.frames == 300 and rows(tmp_path / "scene" / "tracks.txt")[-1][0] == "100"
        assert "rows and answers go on without the video" in capsys.readouterr().err


@pytest.mark.parametrize("part", ["detector", "encoder"])
def test_a_part_that_hangs_is_named_and_given_up_after_the_second_request(tmp_path, part, monkeypatch):
    monkeypatch.setattr(pipeline_module, "STALL_S", 0.2)
    release = threading.Event()

    def hang(index):
        if index == 9:
            release.wait(30)

    pipeline = make_pipeline(
        tmp_path,
        [SceneSource()],
        detectors=[SceneDetector(hang if part == "detector" else None)],
        encoder=ColourMean(hang if part == "encoder" else None),
    )
    start = time.perf_counter()
    requests = iter((pipeline.stop, pipeline.abort))
    named = f"stage {'detect' if part == 'detector' else 'encode'} has been at one frame"

    told = []

    def watch():
        told.extend(pipeline.news())
        if any(named in line for line in told) and time.perf_counter() - start > 0.6:
            next(requests, pipeline.abort)()

    pipeline.run(watch, every_s=0.05)
    release.set()
    assert time.perf_counter() - start < 6
    assert decodable(tmp_path / "scene" / "tracks.mp4") == 8
    assert len(rows(tmp_path / "scene" / "tracks.txt")) == 3 * 8


class Clock:
    """Seconds that pass when a test says so."""

    now = 0.0

    def __call__(self):
        return self.now


def test_a_run_in_which_nothing_moves_ends_and_says_where_it_stands(tmp_path):
    """A tracker that never answers what it wants to be encoded: no stage is timed then, and no frame comes out."""
    clock, asked, release = Clock(), threading.Event(), threading.Event()
    pipeline = make_pipeline(tmp_path, [SceneSource()], encoder=ColourMean(), appearance="auto", clock=clock)
    tracker = pipeline.streams[0].tracker
    wants = tracker.wants_feature

    def stands(*arguments):
        if tracker.bank.age.max(initial=0) >= 8:
            asked.set()
            release.wait(60)
        return wants(*arguments)

    tracker.wants_feature = stands

    def watch():
        clock.now += 7 * asked.is_set()

    pipeline.run(watch, every_s=0.01)
    release.set()
    stream = pipeline.streams[0]
    assert str(stream.ending.error).startswith("nothing has moved for ")
    assert "encode, associate in test_faults.py" in str(stream.ending.error) and "stands" in str(stream.ending.error)
    assert clock.now > pipeline_module.STANDSTILL_S and 0 < stream.counts.frames < 30
    assert len(rows(tmp_path / "scene" / "tracks.txt")) == 3 * stream.counts.frames


class Reader:
    """Looks at one frame for as long as it likes."""

    draws = keeps = False
    warnings = ()

    def __init__(self):
        self.looks, self.release = threading.Event(), threading.Event()

    def view(self, frame, tracks, image, events):
        if frame.index == 5:
            self.looks.set()
            self.release.wait(60)

    def settle(self, events):
        pass

    def close(self):
        pass


def test_whoever_looks_may_take_all_the_time_in_the_world(tmp_path):
    """A loop over `tracker.track(...)` that waits for its user is no run that stands still."""
    clock, reader = Clock(), Reader()
    pipeline = make_pipeline(tmp_path, [SceneSource()], viewers=[reader], clock=clock, video=False)

    def watch():
        if reader.looks.is_set():
            clock.now += 60
            if clock.now > 20 * pipeline_module.STANDSTILL_S:
                reader.release.set()

    pipeline.run(watch, every_s=0.01)
    assert pipeline.streams[0].ending.error is None and pipeline.streams[0].counts.frames == 30


def test_a_hung_part_is_given_up_some_time_after_one_request(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline_module, "GRACE_S", 0.5)
    release = threading.Event()
    pipeline = make_pipeline(
        tmp_path, [SceneSource()], detectors=[SceneDetector(lambda i: i == 9 and release.wait(30))]
    )
    threading.Timer(0.5, pipeline.stop).start()
    run_fast(pipeline)
    release.set()
    assert pipeline.streams[0].counts.frames == 8


@pytest.mark.parametrize("threads", [True, False])
@pytest.mark.parametrize("error", [OverflowError("too far"), KeyError("x"), MemoryError(), SystemExit(3)])
def test_whatever_closing_raises_is_the_stream_s_error(tmp_path, error, threads):
    pipeline = make_pipeline(tmp_path, [SceneSource(), SceneSource(name="other")], threads=threads)
    output = pipeline.streams[0].output
    close = output.close

    def broken(*arguments):
        close(*arguments)
        raise error

    output.close = broken
    run_fast(pipeline)
    assert pipeline.streams[0].ending.error is error and pipeline.streams[1].ending.error is None
    assert pipeline.streams[1].counts.frames == 30


@pytest.mark.parametrize("number", [1, 9, 20, 31, 42])
def test_a_thread_that_dies_ends_the_run(tmp_path, monkeypatch, number):
    """Not a step fails, which is its frame's affair, but the thread that calls it: whichever takes the n-th time."""
    pipeline = make_pipeline(tmp_path, [SceneSource(frames=500)])
    error, count, take = RuntimeError("the thread itself"), itertools.count(1), Channel.take

    class Dying(list):
        def __iter__(self):
            raise error

    monkeypatch.setattr(Channel, "take", lambda *a: Dying(take(*a)) if next(count) == number else take(*a))
    run_fast(pipeline)
    assert pipeline.streams[0].ending.error is error


# ---- the command as a process ------------------------------------------------------------


LONG = 6000
"""Frames that no machine gets through before it is interrupted."""


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory):
    """A clip that takes long enough to be interrupted, with detections."""
    folder = tmp_path_factory.mktemp("long")
    one = write_video(folder / "one.mp4", 300)
    write_detections(folder / "det.txt", 300)
    sequence = folder / "images"
    sequence.mkdir()
    for index in range(1, LONG + 1):
        if index <= 30:
            cv2.imwrite(str(sequence / f"{index:05d}.png"), image(index))
        else:
            os.link(sequence / f"{(index - 1) % 30 + 1:05d}.png", sequence / f"{index:05d}.png")
    rows_ = [line.split(",", 1)[1] for line in (folder / "det.txt").read_text().splitlines()[:90]]
    with open(folder / "long.txt", "w") as file:
        for index in range(1, LONG + 1):
            first = (index - 1) % 30 * 3
            file.writelines(f"{index},{row}\n" for row in rows_[first : first + 3])
    return one, sequence, folder / "long.txt"


def start(clip, output, *more, **options):
    _, sequence, detections = clip
    command = [
        sys.executable,
        "-m",
        "tracker",
        "run",
        str(sequence),
        "--detector",
        str(detections),
        "--encoder",
        "none",
    ]
    return start_hearing([*command, "--output", str(output), *more], **options)


def wait_for_rows(output, process):
    part = output / ".tracks.txt.part"
    for _ in range(600):
        if part.exists() and part.stat().st_size > 2000:
            return
        assert process.poll() is None, "ended too soon"
        time.sleep(0.02)
    raise AssertionError("no rows came")


def check_outputs(output, lost=0):
    """Whole files; the video may lack the last `lost` frames of the rows."""
    assert not [p.name for p in output.iterdir() if p.name.endswith(".part")]
    found = rows(output / "tracks.txt")
    frames = decodable(output / "tracks.mp4")
    assert int(found[-1][0]) - lost <= frames < LONG
    assert (output / "summary.json").exists() and (output / "config.toml").exists()
    return frames


@pytest.mark.parametrize("signals", [[signal.SIGINT], [signal.SIGTERM], [signal.SIGINT, signal.SIGINT]])
def test_signals_end_a_run_in_good_order(long_clip, tmp_path, signals):
    output = tmp_path / "out"
    process = start(long_clip, output, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for_rows(output, process)
    for number in signals:
        process.send_signal(number)
        time.sleep(0.05)
    _out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    check_outputs(output)


def test_the_reader_of_the_output_goes_away(long_clip, tmp_path):
    output = tmp_path / "out"
    process = start(long_clip, output, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for_rows(output, process)
    process.stdout.close()
    with process.stderr as stderr:
        err = stderr.read().decode()
    assert process.wait(60) == 1
    assert "Traceback" not in err and "Exception ignored" not in err
    check_outputs(output)


def test_the_disk_is_limited_from_outside(long_clip, tmp_path):
    """A limit on the size of files stands for a full disk: the kernel refuses the write in the same way."""
    output = tmp_path / "out"
    limit = "import resource, signal, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (60000, 60000)); "
    call = "from tracker.app.cli import main; sys.exit(main(sys.argv[1:]))"
    _, sequence, detections = long_clip
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            limit + call,
            "run",
            str(sequence),
            "--detector",
            str(detections),
            "--encoder",
            "none",
            "--output",
            str(output),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "cannot be written (File too large)" in done.stderr
    check_outputs(output, lost=LONG)  # the video's file is full before that of the rows


# ---- a live source ------------------------------------------------------------


class Camera(http.server.BaseHTTPRequestHandler):
    """An MJPEG camera: `plan` lists for each connection (frames, seconds to stall before the last half, size)."""

    plan: ClassVar[list] = []
    connections = 0

    def do_GET(self):
        number = type(self).connections
        type(self).connections += 1
        if number >= len(self.plan):
            self.send_error(503)
            return
        frames, stall_s, size = self.plan[number]
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        try:
            for index in range(1, frames + 1):
                data = cv2.imencode(".jpg", image(index % 30 + 1, size))[1].tobytes()
                self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data))
                self.wfile.write(data + b"\r\n")
                time.sleep(stall_s if index == frames // 2 else 0.02)
        except OSError:
            pass

    def log_message(self, *_):
        pass


@pytest.fixture
def camera():
    Camera.connections, Camera.plan = 0, []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/cam.mjpg"
    server.shutdown()
    server.server_close()


def read_live(address, reconnect_s=1.2):
    from tracker.video.sources import open_source

    with open_source(address, reconnect_s=reconnect_s) as source:
        assert source.info.live
        frames, told = [], []
        with pytest.raises(LostError, match=rf"and not back within {reconnect_s:g} s"):
            for frame in source:
                frames.append((frame.index, frame.time_s, frame.image.shape))
                told += source.news()
        told += source.news()
        assert any("lost after frame" in line for line in told)
    return source, frames


def test_a_live_source_that_stalls_goes_on(camera):
    from tests.scenes import SIZE

    Camera.plan = [(20, 1.0, SIZE)]
    _source, frames = read_live(camera, reconnect_s=0.3)
    assert len(frames) >= 18
    gaps = [b[1] - a[1] for a, b in itertools.pairwise(frames)]
    assert max(gaps) > 0.9, "the filter must be told the time that passed"


def test_a_live_source_that_is_lost_is_taken_up_again_and_changes_its_size(camera):
    from tests.scenes import SIZE

    Camera.plan = [(30, 0.02, SIZE), (30, 0.02, (320, 240))]
    source, frames = read_live(camera)
    assert len(frames) >= 50 and [f[0] for f in frames] == list(range(1, len(frames) + 1))
    assert {f[2] for f in frames} == {(SIZE[1], SIZE[0], 3)}
    assert any(w.startswith("no frame for") for w in source.warnings)
    assert any("had another size" in w for w in source.warnings)


def test_no_secret_of_an_address_leaves_the_run_but_in_a_file_of_its_owner(camera, tmp_path, capsys, monkeypatch):
    """In what is told, in every file and name that is written, by each door that takes an address."""
    from tests.scenes import SIZE
    from tracker.app.cli import main

    monkeypatch.chdir(tmp_path)
    Camera.plan = [(2000, 0.02, SIZE)]
    secret = f"{camera.replace('://', '://me:canary-1@')}?token=canary-2"
    publish = [
        f"{scheme}://me:canary-3@127.0.0.1:9/a{rest}" for scheme, rest in (("mqtt", ""), ("http", "?key=canary-4"))
    ]
    given = ["--detector", "motion", "--encoder", "none", "--max-frames", "12", "--reconnect", "0.5", "-v"]
    hooks = [part for text in publish for part in ("--publish", text)]
    assert main(["run", secret, "rtsp://me:canary-5@127.0.0.1:9/x", *given, *hooks, "--output", "out"]) == 1
    assert main(["run", secret, *given, "--output", "out2"]) == 1  # the camera is gone
    assert main(["run", secret, *given, "--stride", "0"]) == 2
    assert main(["batch", secret, *given[:4], "--output", "many"]) in (1, 2)
    out, err = capsys.readouterr()
    assert "12" in out and "canary" not in out + err
    found = [p for p in tmp_path.rglob("*") if p.is_file() and b"canary" in p.read_bytes()]
    assert {p.name for p in found} == {"config.toml"} and found[0].stat().st_mode & 0o77 == 0
    assert not list(tmp_path.rglob("*canary*"))
    told = [json.loads(p.read_text()) for p in (tmp_path / "out").rglob("summary.json")]
    assert told and all([p["waiting"] for p in data["published"]] == [0, 0] for data in told)
