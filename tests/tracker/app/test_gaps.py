"""Frames that the detector leaves out of a recording: boxes between two looks, the same with and without threads."""

from dataclasses import dataclass

import numpy as np
import pytest

from tests.runs import ColourMean, SceneDetector, SceneSource, make_pipeline
from tests.scenes import boxes, image, rows
from tracker.app.gaps import Gaps, between
from tracker.app.pace import Pace
from tracker.core.types import Tracks
from tracker.video.repeats import Repeats


def tracks(ids, left, score=0.9):
    """Boxes 20 wide and 40 high, those of `left` pixels from the left."""
    n = len(ids)
    xyxy = np.array(left, float).reshape(-1, 1) * (1, 0, 1, 0) + (0, 10, 20, 50)
    return Tracks(
        np.array(ids, np.int64), xyxy, np.full(n, score, np.float32), np.zeros(n, np.int32), np.arange(n),
        np.ones(n, bool), np.zeros(n, np.int64), np.ones(n, bool),
    )  # fmt: skip


def seen(found):
    return dict(zip(found.id.tolist(), found.xyxy[:, 0].tolist(), strict=True))


def test_boxes_go_straight_from_look_to_look():
    before, after = tracks([1, 2], [0, 100], 0.8), tracks([2, 1], [130, 30], 0.6)
    found = between(before, tracks([1, 2], [50, 50]), after, 1 / 3)
    assert seen(found) == pytest.approx({1: 10, 2: 110})
    np.testing.assert_allclose(found.score, 0.6)
    assert seen(after) == {1: 30, 2: 130} and seen(before) == {1: 0, 2: 100}, "neither look is changed"


@pytest.mark.parametrize("share, ids", [(0.25, {1}), (0.5, {1, 2}), (0.75, {2})])
def test_what_comes_and_what_goes_is_there_for_half_of_the_gap(share, ids):
    found = between(tracks([1], [0]), tracks([1], [7]), tracks([2], [100]), share)
    assert set(seen(found)) == ids and seen(found).get(1, 7) == 7


def test_a_track_that_was_only_predicted_stays_so():
    found = between(tracks([1], [0]), tracks([1], [5]), tracks([1], [10], score=0.0), 0.5)
    assert seen(found) == {1: 5} and found.score.tolist() == [0.0]


@dataclass(eq=False)
class Held:
    tracks: Tracks


def test_frames_that_wait_come_in_order_and_once():
    gaps, held = Gaps(), [Held(tracks([1], [7])) for _ in range(3)]
    assert gaps.fill(tracks([1], [0])) == []
    for frame in held:
        gaps.wait(frame)
    assert gaps.fill(tracks([1], [40])) == held
    assert [seen(h.tracks)[1] for h in held] == [10, 20, 30]
    last = Held(tracks([1], [47]))
    gaps.wait(last)
    assert gaps.fill(None) == [last] and seen(last.tracks) == {1: 47}, "at the end predictions stay"
    assert gaps.fill(None) == []


@pytest.mark.parametrize("appearance", ["always", "auto", "off"])
@pytest.mark.parametrize("every", [1, 4])
def test_threads_change_nothing(tmp_path, appearance, every):
    written, looked = [], []
    for threads in (False, True):
        calls = []
        pipeline = make_pipeline(
            tmp_path / str(threads), [SceneSource(frames=48)], detectors=[SceneDetector(calls.append)],
            encoder=ColourMean(), appearance=appearance, threads=threads, detect_every=every, video=False, together=4,
        )  # fmt: skip
        stream = pipeline.streams[0]
        stream.gaps, stream.pace = Gaps(), Pace(25.0)
        pipeline.run()
        assert stream.ending.error is None and stream.counts.looked == len(calls)
        written.append((tmp_path / str(threads) / "scene" / "tracks.txt").read_bytes())
        looked.append(calls)
    assert written[0] == written[1] and looked[0] == looked[1]
    gaps = np.diff(looked[0])
    assert gaps.max() == max(every, 2) and (every > 1 or gaps[:30].max() == 1)
    found = np.array(rows(tmp_path / "True" / "scene" / "tracks.txt"), float)
    assert found[:, 0].tolist() == np.repeat(np.arange(1, 49), 3).tolist()
    for frame in {*range(33, 48)} - set(looked[0]):
        got = found[found[:, 0] == frame]
        np.testing.assert_allclose(np.sort(got[:, 2]), np.sort(boxes(frame)[:, 0]), atol=1.0)


@pytest.mark.parametrize("threads", [True, False])
def test_a_detector_that_fails_loses_no_frame_before(tmp_path, threads):
    failed = []

    def fail(index):
        if index > 40:
            failed.append(index)
            raise RuntimeError("broken")

    pipeline = make_pipeline(
        tmp_path, [SceneSource(frames=90)], detectors=[SceneDetector(fail)], threads=threads, video=False
    )
    stream = pipeline.streams[0]
    stream.gaps, stream.pace = Gaps(), Pace(25.0, lambda: stream.ending.finished)
    pipeline.run()
    assert "broken" in str(stream.ending.error) and not pipeline.stuck
    assert set(np.array(rows(tmp_path / "scene" / "tracks.txt"), float)[:, 0]) == set(range(1, failed[0]))


@pytest.mark.parametrize("threads", [True, False])
def test_frames_that_repeat_a_picture_have_the_boxes_of_the_look_at_it(tmp_path, threads):
    looked = []
    source = SceneSource(frames=48, picture=lambda index: image(1 + (index - 1) // 3))
    detector = SceneDetector(looked.append)
    pipeline = make_pipeline(tmp_path, [source], detectors=[detector], threads=threads, video=False)
    stream = pipeline.streams[0]
    stream.gaps, stream.pace, stream.repeats = Gaps(), Pace(10.0), Repeats()
    pipeline.run()
    assert looked == [*range(1, 49, 3)]
    found = np.array(rows(tmp_path / "scene" / "tracks.txt"), float)
    assert found[:, 0].tolist() == np.repeat(np.arange(1, 49), 3).tolist()
    for first in looked:
        look, second, third = (found[found[:, 0] == first + n][:, 1:6] for n in range(3))
        assert (look == second).all() and (look == third).all()
