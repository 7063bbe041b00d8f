"""The units of the default preset one by one: time, scores, looks, standing tracks, exits, faint boxes, the warp."""

from collections import Counter

import numpy as np
import pytest
from filterpy.kalman import KalmanFilter

from tracker import DeepSort, Detections
from tracker.tracking.adaptive_noise import VelocityNoise
from tracker.tracking.appearance import AppearanceLikelihood, Normal, blend
from tracker.tracking.calibration import ScoreScale
from tracker.tracking.clock import Clock
from tracker.tracking.coasting import Coasting
from tracker.tracking.config import OverlapConfig
from tracker.tracking.kalman_xywh import KalmanXYWH, PairedKalman
from tracker.tracking.observation import ClassGroups, observe
from tracker.tracking.trackers import open_tracker
from tracker.tracking.usual_overlap import UsualOverlap

PERSON = np.array([100.0, 100, 140, 200])


def feed(tracker, boxes, score=0.9, **more):
    boxes = np.asarray(boxes, float).reshape(-1, 4)
    return tracker.update(Detections(boxes, np.full(len(boxes), score)), **more)


def test_the_filter_is_filterpys():
    motion, rng = KalmanXYWH(), np.random.default_rng(0)
    z = motion.measure(PERSON[None])
    mean, covariance = motion.initiate(z)
    model = KalmanFilter(dim_x=2, dim_z=1)
    model.F, model.H = np.array([[1.0, 1], [0, 1]]), np.array([[1.0, 0]])
    model.x, model.P = np.array([[z[0, 3]], [0]]), np.diag(covariance[0, 3, [0, 2]])
    for _ in range(20):
        height = mean[0, 3]
        model.Q = np.diag([(0.05 * height) ** 2, (motion.velocity_weight * motion.aspect[1] * height) ** 2])
        mean, covariance = motion.predict(mean, covariance)
        z = z + rng.normal(0, 2, (1, 4))
        mean, covariance = motion.update(mean, covariance, z)
        model.predict()
        model.update(z[0, 3], R=(motion.measurement_weight * z[0, 3]) ** 2)
        np.testing.assert_allclose(mean[0, [3, 7]], model.x.ravel(), rtol=1e-9)
        np.testing.assert_allclose(covariance[0, 3], model.P[[0, 0, 1], [0, 1, 1]], rtol=1e-9)


def test_two_filters_side_by_side_are_two_filters():
    twin, rng = PairedKalman(), np.random.default_rng(0)
    alone = [KalmanXYWH(), twin.display]
    z = twin.measure(PERSON + rng.uniform(0, 300, (5, 1)))
    states = [motion.initiate(z) for motion in alone]
    both = tuple(np.stack(pair, 1) for pair in zip(*states, strict=True))
    for _ in range(10):
        z = z + rng.normal(0, 2, z.shape)
        states = [m.update(*m.predict(*state, 1.5), z) for m, state in zip(alone, states, strict=True)]
        both = twin.update(*twin.predict(*both, 1.5), z[:, None])
    for i, (mean, covariance) in enumerate(states):
        np.testing.assert_allclose(both[0][:, i], mean, rtol=1e-12)
        np.testing.assert_allclose(both[1][:, i], covariance, rtol=1e-12)


def test_errors_to_one_side_raise_the_velocity_noise_and_chance_does_not():
    lagging, fitting, signs = VelocityNoise(), VelocityNoise(), np.random.default_rng(0).choice([-1, 1], (50, 2, 4))
    for pair in signs:
        lagging.learn(pair[0], pair[0])
        fitting.learn(*pair)
    assert lagging.factor == pytest.approx(4, rel=0.05) and fitting.factor == 1
    for pair in signs:
        lagging.learn(pair[0], -pair[0])
    assert lagging.factor == pytest.approx(1), "and it falls again"


@pytest.mark.parametrize("acceleration, raised", [(0, False), (0.5, True)])
def test_the_velocity_noise_is_measured_on_the_run(acceleration, raised):
    tracker = open_tracker(OverlapConfig(), ClassGroups(), Clock(Counter()), None)
    jitter = np.random.default_rng(0).normal(0, 1, (40, 4))
    for t in range(40):
        x = 3 * t + acceleration * t**2
        box = Detections((PERSON + np.array([x, 0, x, 0]) + jitter[t])[None], [0.9])
        tracker.predict(1.0, None)
        tracker.step(observe(box, np.zeros((1, 0), np.float32), np.zeros(1, bool), tracker.kalman), None)
    assert (tracker.velocity_noise.factor > 2) == raised


def test_the_least_overlap_follows_how_much_matches_overlap():
    rng, still = np.random.default_rng(0), np.zeros(3)
    steady, shaky, exact = UsualOverlap(), UsualOverlap(), UsualOverlap()
    assert steady.least(np.ones(3), still).max() < 0, "nothing is known yet"
    steady.learn(1 - np.abs(rng.normal(0, 0.05, 300)), np.ones(300))
    shaky.learn(1 - np.abs(rng.normal(0, 0.4, 300)), np.ones(300))
    exact.learn(np.ones(300), np.ones(300))
    once, twice, often = steady.least(np.array([1, 2, 25]), still)
    assert 0.8 > once > twice > 0 > often and shaky.least(np.ones(3), still).max() < 0
    assert exact.least(np.ones(3), np.array([0, 0.1, 0.3])).tolist() == [0.8, 0.8, 0.4], "what moves may stop"


def crowd(tracker, jitter, frames=30):
    """Ten people who stand far apart, their boxes off by some pixels; returns the boxes and the first one's number."""
    rng, people = np.random.default_rng(0), PERSON + 100 * np.array([[i, 0, i, 0] for i in range(10)])
    for t in range(frames):
        tracks = feed(tracker, people + rng.normal(0, jitter, (10, 2))[:, [0, 1, 0, 1]], time_s=t / 10)
    return people, int(tracks.id[0])


@pytest.mark.parametrize("jitter, frames_later, kept", [(1, 1, False), (9, 1, True), (1, 6, True)])
def test_a_box_far_off_the_usual_is_another_ones(jitter, frames_later, kept):
    tracker = DeepSort.from_preset("default")
    people, first = crowd(tracker, jitter)
    beside = people + np.array([24.0, 0, 24, 0]) * (np.arange(10) == 0)[:, None]
    tracks = feed(tracker, beside, time_s=2.9 + frames_later / 10)
    taken = tracks.id[tracks.detection_index == 0]
    assert (taken == first).all() == kept, (
        "what looks like a leap is one where boxes are steady and no frame is missing"
    )


@pytest.mark.parametrize("path", [lambda t: 24 * t, lambda t: t**2 / 2, lambda t: 14 * np.minimum(t, 12)])
def test_what_moves_among_many_that_stand_keeps_its_number(path):
    tracker = DeepSort.from_preset("default")
    people, _ = crowd(tracker, 1)
    for t in range(20):
        mover = PERSON + np.array([path(t), 300, path(t), 300])
        tracks = feed(tracker, np.vstack([people, mover]), time_s=(30 + t) / 10)
    assert tracks.id[tracks.detection_index == 10] == 11


@pytest.mark.parametrize("rate", [7, 30])
def test_the_clock_counts_dropped_frames_and_forgives_jitter(rate):
    clock = Clock(Counter())
    steps = [clock.step(t / rate) for t in (0, 1, 2.1, 3, 4, 7, 8)]
    assert steps[:5] == [1] * 5 and steps[6] == 1
    assert steps[5] == pytest.approx(3, rel=0.1)
    assert clock.frames_per_second == pytest.approx(rate, rel=0.1)


def test_time_that_runs_backwards_is_counted():
    warnings = Counter()
    clock = Clock(warnings)
    assert [clock.step(t) for t in (1.0, 2.0, 0.5, None)] == [1, 1, 1, 1]
    assert warnings["time ran backwards"] == 1


def test_scores_within_bounds_are_probabilities_as_they_are():
    scale, scores = ScoreScale(), np.array([0.0, 0.3, 0.99, 1.0], np.float32)
    for _ in range(3):
        np.testing.assert_allclose(scale(scores), scores)
    assert scale(np.array([1.0005])).tolist() == [1], "rounding"


def test_scores_of_a_shy_detector_are_raised():
    scale, scores = ScoreScale(), np.full(100, 0.5)
    assert scale(scores[:1])[0] == 0.5, "one score proves nothing"
    for _ in range(10):
        raised = scale(scores)
    np.testing.assert_allclose(raised, 0.5 * (0.7 / 0.5) ** 2)
    assert ScoreScale()(np.zeros(0)).shape == (0,)


def test_of_a_detector_that_knows_its_even_score_the_odds_are_brought_to_that():
    scale = ScoreScale(0.25)
    np.testing.assert_allclose(scale(np.array([0.0, 0.1, 0.25, 0.5, 1.0])), [0, 0.25, 0.5, 0.75, 1], atol=1e-12)
    for _ in range(200):
        assert scale(np.array([0.25])) == pytest.approx(0.5), "it is no matter of what the run met"
    np.testing.assert_allclose(ScoreScale(0.5)(np.array([0.3, 0.7])), [0.3, 0.7])
    assert scale(np.array([-1.0, 3.0])).max() <= 1, "margins stay what they are"


def test_of_scores_without_bounds_the_order_counts():
    rng, scale = np.random.default_rng(0), ScoreScale()
    margins = rng.exponential(1, 1000) - 0.5
    for part in margins.reshape(50, 20):
        scale(part)
    np.testing.assert_allclose(scale(np.quantile(margins, [0.25, 0.6])) ** 4, [0.25, 0.6], atol=0.01)
    np.testing.assert_allclose(ScoreScale()(np.array([1.0, 50, 100])) ** 4, [1 / 3, 2 / 3, 1])


def test_running_mean_and_variance():
    rng, normal = np.random.default_rng(0), Normal(10_000)
    parts = [rng.normal(0.4, 0.2, n) for n in (1, 7, 30, 500)]
    for part in parts:
        normal.add(len(part), float(part.sum()), float((part**2).sum()))
    whole = np.concatenate(parts)
    np.testing.assert_allclose([normal.mean, normal.variance], [whole.mean(), whole.var()], rtol=1e-9)


def test_evidence_learns_what_features_tell():
    rng, evidence = np.random.default_rng(0), AppearanceLikelihood()
    assert evidence(np.array([0.9])).tolist() == [0]
    looks = rng.normal(size=(8, 32)) + 1.5
    for _ in range(10):
        a, b = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (looks, looks + rng.normal(0, 0.3, looks.shape)))
        evidence.learn(a, b)
    low, middle, high = evidence(np.array([evidence.other.mean, evidence.even, evidence.same.mean]))
    assert low < 0 and middle == pytest.approx(0, abs=1e-9) and 0 < high <= evidence.limit


def test_a_covered_box_changes_a_look_less():
    old, new = np.array([[1.0, 0]], np.float32), np.array([[0, 1.0]], np.float32)
    clear = blend(old, np.array([5]), new, np.array([0.0]), 25)
    covered = blend(old, np.array([5]), new, np.array([0.9]), 25)
    assert clear[0, 1] > 3 * covered[0, 1] > 0
    np.testing.assert_allclose(np.linalg.norm(clear), 1, rtol=1e-6)


def test_one_who_stood_still_is_remembered_and_one_who_walked_is_not():
    for speed, hits, same in ((0.0, 60, True), (6.0, 60, False), (0.0, 59, False)):
        tracker = DeepSort.from_preset("default", max_lost_s=0.5)
        for t in range(hits):
            first = feed(tracker, (PERSON + np.array([speed * t, 0, speed * t, 0])), time_s=t / 10)
        for t in range(hits, hits + 30):
            feed(tracker, [], time_s=t / 10)
        for t in range(hits + 30, hits + 33):
            again = feed(tracker, (PERSON + np.array([speed, 0, speed, 0]) * (hits - 1)), time_s=t / 10)
        assert (again.seen.id.tolist() == first.id.tolist()) is same


@pytest.mark.parametrize(
    "rate, frames, kept", [(30, None, 54), (10, None, 18), (5, None, 9), (10, 5, 5), (10, 50, 50), (30, 60, 60)]
)
def test_lost_tracks_live_for_seconds_or_for_the_frames_asked_for(rate, frames, kept):
    tracker = DeepSort.from_preset("default", max_age=frames)
    for t in range(20):
        feed(tracker, PERSON + np.array([15 * t, 0, 15 * t, 0]), time_s=t / rate)
    alive = [len(feed(tracker, [], time_s=t / rate)) for t in range(20, 90)]
    assert alive == [1] * kept + [0] * (70 - kept)


def test_what_is_sure_and_apart_from_all_tracks_is_one_at_once():
    tracker, aside = DeepSort.from_preset("default"), np.array([30.0, 0, 30, 0])
    assert feed(tracker, PERSON).seen.id.tolist() == [1]
    other = np.stack([PERSON, PERSON + aside, PERSON + 300])
    seen = [feed(tracker, other, 0.8).seen.id.tolist() for _ in range(3)]
    assert seen == [[1, 3], [1, 3], [1, 2, 3]], "beside a track three hits are asked for"
    assert len(feed(DeepSort.from_preset("default"), PERSON, 0.6).seen) == 0, "not sure"


NAMES = ("person", "bicycle", "car", "motorcycle")
MACHINE = np.array([300.0, 200, 340, 260])


@pytest.mark.parametrize(
    "person, merged",
    [
        ([305, 165, 335, 250], True),  # sits on it
        ([302, 195, 338, 258], True),  # bent low over it
        ([345, 165, 375, 262], False),  # stands beside it
        ([305, 150, 335, 290], False),  # stands before it
        ([305, 130, 335, 205], False),  # walks behind it
    ],
)
def test_a_person_on_a_two_wheeler_is_one_object_with_it(person, merged):
    tracker = DeepSort.from_preset("default", class_names=NAMES)
    boxes = np.array([MACHINE, person], float)
    for _ in range(6):
        tracks = tracker.update(Detections(boxes, np.full(2, 0.9), [3, 0]))
    assert tracks.class_id.tolist() == ([3] if merged else [3, 0])
    tracks = tracker.update(Detections(boxes[1:], [0.9], [0]))
    assert len(tracks.seen) == (0 if merged else 1), "where the machine is missed, its track still tells"


@pytest.mark.parametrize("scores, tracked", [([0.9, 0.15], [3]), ([0.4, 0.4], [3]), ([0.2, 0.2], [])])
def test_a_rider_and_a_machine_in_doubt_tell_of_one_object_together(scores, tracked):
    tracker = DeepSort(class_names=NAMES, even_score=0.5)
    boxes = np.array([[305, 165, 335, 250], MACHINE], float)
    for _ in range(6):
        tracks = tracker.update(Detections(boxes, scores, [0, 3]))
    assert tracks.seen.class_id.tolist() == tracked


RIDER = np.array([305.0, 165, 335, 250])


def see(tracker, person, machine, frames, score=0.9):
    """Tracks after so many frames in which these boxes were seen; None: not seen."""
    boxes = {c: b for c, b in ((0, person), (3, machine)) if b is not None}
    for _ in range(frames):
        tracks = tracker.update(Detections(np.array(list(boxes.values())), np.full(len(boxes), score), list(boxes)))
    return [(int(i), int(c)) for i, c in zip(tracks.seen.id, tracks.seen.class_id, strict=True)]


def test_a_rider_who_was_seen_before_the_machine_becomes_the_vehicle_and_keeps_the_number():
    tracker = DeepSort.from_preset("default", class_names=NAMES)
    assert see(tracker, RIDER, None, 6) == [(1, 0)]
    assert see(tracker, RIDER, MACHINE, 3) == [(1, 0)], "a third of the hits is wanted"
    assert see(tracker, RIDER, MACHINE, 3) == [(1, 3)]
    assert see(tracker, RIDER, None, 1) == [(1, 3)], "where the machine is missed, its rider still tells"
    assert see(tracker, None, MACHINE, 1) == [(1, 3)]


def test_a_rider_and_a_machine_that_were_seen_in_turns_are_one_after_half_a_second_together():
    tracker = DeepSort.from_preset("default", class_names=NAMES)
    see(tracker, RIDER, None, 3)
    assert see(tracker, None, MACHINE, 3) == [(2, 3)]
    assert see(tracker, RIDER, MACHINE, 10) == [(1, 3), (2, 3)]
    assert see(tracker, RIDER, MACHINE, 10) == [(1, 3)]


def test_one_who_walks_past_a_parked_machine_stays_a_person():
    tracker = DeepSort.from_preset("default", class_names=NAMES)
    for x in range(0, 400, 5):
        seen = see(tracker, RIDER + np.array([x - 200, 0, x - 200, 0]), MACHINE, 1)
        assert seen[-2:] == [(1, 0), (2, 3)], "both keep number and class"


def test_a_track_that_was_one_at_once_and_is_missed_ends():
    tracker = DeepSort.from_preset("default")
    feed(tracker, PERSON)
    assert len(feed(tracker, [])) == 0
    for _ in range(3):
        feed(tracker, PERSON)
    assert len(feed(tracker, [])) == 1


def test_a_matched_track_has_the_box_of_its_detection():
    tracker = DeepSort.from_preset("default")
    for step in (0, 3, 11, 12):
        box = (PERSON + step).astype(np.float32)
        np.testing.assert_array_equal(feed(tracker, box).xyxy[0], box)


def coasted_boxes(rounds=12, frame_size=(640, 480), returns=True, **settings):
    """Rounds in which a walking person was written while missed, for three frames of thirteen or for good."""
    tracker, written = DeepSort.from_preset("default", **settings), []
    for number in range(rounds):
        for k in range(13):
            x = 200 + 2 * (k if number % 2 else 13 - k)
            seen = k < 5 or k > 7 if returns else number % 2 == 0 and k < 10
            tracks = feed(tracker, PERSON + np.array([x, 0, x, 0]) if seen else [], frame_size=frame_size)
            if not seen and len(tracks.written):
                assert tracks.written.score.tolist() == [0] * len(tracks.written) and len(tracks.seen) == 0
                assert abs(tracks.written.xyxy[0, 0] - x - 100) < 9
                written.append(number)
    return written


def test_boxes_are_written_through_gaps_that_were_found_to_close():
    assert coasted_boxes() == [n for n in range(2, 12) for _ in range(3)]


def test_no_boxes_are_written_before_or_at_the_border_or_where_it_is_switched_off():
    assert coasted_boxes(returns=False, max_age=1) == []
    assert coasted_boxes(frame_size=(310, 480)) == []
    assert coasted_boxes(coast_chance=1) == []


def test_the_share_of_right_boxes_is_counted_by_length_of_the_gap():
    coasting, there = Coasting(5), PERSON[None]
    assert coasting.chance(np.array([1, 1, 3])).tolist() == [0.3] * 3
    assert coasting.chance(np.zeros(0, int)).shape == (0,)
    assert coasting.met.tolist() == [0, 2, 0, 1, 0, 0]
    coasting.learn(np.array([2, 9]), np.repeat(there, 2, axis=0), np.repeat(there, 2, axis=0))
    assert coasting.right.tolist() == [0, 2, 2, 1, 1, 1]
    coasting.learn(np.array([4]), there + np.array([50, 0, 50, 0]), there)  # a quarter of a width after one of five
    assert coasting.right.tolist() == [0, 3, 2, 1, 1, 1]


def test_a_track_that_left_the_frame_is_not_found_again():
    tracker = DeepSort.from_preset("default")
    for t in range(12):
        feed(tracker, (PERSON + np.array([-14 * t, 0, -14 * t, 0])), frame_size=(640, 480))
    for _ in range(6):
        tracks = feed(tracker, [], frame_size=(640, 480))
    assert len(tracks) == 0


def test_a_faint_detection_keeps_a_track_and_begins_none():
    tracker = DeepSort.from_preset("default")
    other = PERSON + np.array([300, 0, 300, 0])
    for _ in range(5):
        feed(tracker, [PERSON])
    for _ in range(5):
        boxes = np.stack([PERSON, (PERSON + np.array([150, 0, 150, 0])), other])
        tracks = tracker.update(Detections(boxes, np.array([0.3, 0.3, 0.9])))
    assert tracks.seen.id.tolist() == [1, 2]


def test_a_warp_carries_tracks_with_the_camera():
    warp = np.array([[1.0, 0, 90], [0, 1.0, 40]])
    box, tracker, still = PERSON.copy(), DeepSort.from_preset("default"), DeepSort.from_preset("default")
    for _ in range(6):
        feed(tracker, box)
        feed(still, box)
    box += np.array([90, 40, 90, 40])
    assert feed(tracker, box, warp=warp).seen.id.tolist() == [1]
    assert 1 not in feed(still, box).seen.id


@pytest.mark.parametrize("features", [None, np.zeros((0, 4), np.float32)])
def test_empty_frames(features):
    tracker = DeepSort.from_preset("default")
    for _ in range(3):
        assert len(tracker.update(Detections.empty(), features)) == 0
    assert len(tracker.update(None)) == 0
