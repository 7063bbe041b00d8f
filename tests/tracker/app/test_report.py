"""What a run tells while it starts and goes."""

import threading

import pytest

from tests.runs import SceneSource, make_pipeline
from tracker.app.report import Progress, clock_time, table
from tracker.app.spinner import Spinner


@pytest.mark.parametrize(
    "seconds, text", [(0, "0:00"), (7.4, "0:07"), (59.6, "1:00"), (750, "12:30"), (3723, "1:02:03"), (-1, "0:00")]
)
def test_clock_time(seconds, text):
    assert clock_time(seconds) == text


def test_a_step_is_named_once_it_takes_long():
    told, named = [], threading.Event()

    def tell(line):
        told.append(line)
        named.set()

    with Spinner(after_s=0.01, tell=tell)("loading"):
        assert named.wait(10)
    slow = Spinner(after_s=60, tell=tell)
    with slow("outer"), slow("inner"):
        pass
    assert told == ["loading ..."]


def test_the_table_tells_start_up_and_wall_time(tmp_path):
    pipeline = make_pipeline(tmp_path, [SceneSource()], video=False)
    pipeline.run()
    ending = pipeline.streams[0].ending
    head, row = table(pipeline.streams, ending.started_s - 3).splitlines()[:2]
    cells = dict(zip(head.split(), row.replace(" s ", "s ").split(), strict=False))
    assert cells["start-up"] == f"{ending.first_s - ending.started_s + 3:.1f}s"
    assert cells["wall"] == f"{ending.elapsed_s + 3:.1f}s" and float(cells["wall"][:-1]) >= 3


def test_progress_says_what_is_done_and_left(tmp_path, capsys):
    pipeline = make_pipeline(tmp_path, [SceneSource(frames=40)], video=False)
    counts = pipeline.streams[0].counts
    progress = Progress(pipeline.streams, clock=iter([100.0, 105.0, 110.0]).__next__)
    counts.frames, counts.visible = 10, 3
    progress.update()
    counts.frames = 20
    progress.update()
    assert capsys.readouterr().err == "20 frames of 40 (50%), 2.0 FPS, 3 objects, 0:10, 0:10 left\n"


def test_a_container_that_promised_too_few_frames_is_not_140_percent_done(tmp_path, capsys):
    pipeline = make_pipeline(tmp_path, [SceneSource(frames=40)], video=False)
    progress = Progress(pipeline.streams, clock=iter([100.0, 110.0]).__next__)
    pipeline.streams[0].counts.frames = 56
    progress.update()
    assert capsys.readouterr().err == "56 frames, 5.6 FPS, 0 objects, 0:10\n"
