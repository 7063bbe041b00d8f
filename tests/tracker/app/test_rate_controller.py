"""Holding a frame rate by doing less."""

import itertools
import time

import pytest

from tests.runs import ColourMean, SceneDetector, SceneSource, make_pipeline
from tracker.app.rate_controller import RateController, efforts
from tracker.app.steps import Steps
from tracker.app.timing import Timing

GROUPS = [("detect",), ("crop", "encode", "associate"), ("draw", "write")]


class Tiled:
    tiled = True


def spend(timing, frames=10, **seconds):
    for _ in range(frames):
        for stage, s in seconds.items():
            timing.add(stage, s)
        timing.add("write", 0.001)


def controlled(target):
    timing = Timing()
    steps = Steps(ColourMean(), timing)
    detector = Tiled()
    return timing, steps, detector, RateController(target, steps, GROUPS, 2, [detector])


def test_efforts_fall():
    steps = efforts(2)
    assert steps[0].detect_every == 2 and steps[0].embed_every == 1 and steps[0].tiles
    for a, b in itertools.pairwise(steps):
        assert (b.detect_every, b.embed_every, not b.tiles) > (a.detect_every, a.embed_every, not a.tiles)


def test_too_slow_does_less_and_fast_enough_stays():
    timing, steps, detector, controller = controlled(20)
    now = time.perf_counter()
    for second in range(1, 5):
        spend(timing, detect=0.1, encode=0.02)
        controller.watch(now + 1.5 * second)
    assert steps.embed_every == 3 and steps.detect_every == 3 and not detector.tiled and controller.changes == 4
    for second in range(5, 12):
        spend(timing, detect=0.04, encode=0.02)  # 22 FPS: enough, but nothing to spare
        controller.watch(now + 1.5 * second)
    assert controller.changes == 4


def test_does_more_again_when_there_is_time_to_spare():
    timing, steps, detector, controller = controlled(20)
    now = time.perf_counter()
    for second in range(1, 4):
        spend(timing, detect=0.1)
        controller.watch(now + 1.5 * second)
    assert controller.changes == 3
    for second in range(4, 20):
        spend(timing, detect=0.01)
        controller.watch(now + 1.5 * second)
    assert controller.effort == efforts(1)[0] and steps.embed_every == 1 and detector.tiled


def test_all_stages_together_cannot_use_more_than_the_processors():
    timing, _, _, controller = controlled(20)
    spend(timing, detect=0.045, encode=0.045, draw=0.044)  # each fits alone, on two processors they do not
    controller.watch(time.perf_counter() + 2)
    assert controller.changes == 1


def test_looks_only_once_in_a_while_and_never_at_nothing():
    timing, _, _, controller = controlled(20)
    controller.watch(time.perf_counter() + 9)
    spend(timing, detect=0.5)
    controller.watch(time.perf_counter() + 0.1)
    assert controller.changes == 0


@pytest.mark.parametrize("threads", [True, False])
def test_a_slow_run_reaches_the_target(tmp_path, threads, monkeypatch):
    monkeypatch.setattr("tracker.app.rate_controller.WINDOW_S", 0.07)
    calls = []

    def slow(index):
        calls.append(index)
        time.sleep(0.02)

    source = SceneSource(frames=150)
    pipeline = make_pipeline(tmp_path, [source], detectors=[SceneDetector(slow)], threads=threads, video=False)
    controller = RateController(120, pipeline.steps, pipeline.stage_groups(), 2)
    pipeline.run(controller.watch, every_s=0.02)
    assert pipeline.streams[0].counts.frames == 150
    assert controller.changes >= 3 and len(calls) < 90
