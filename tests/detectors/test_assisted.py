"""A network helped by motion: what it does not know and what goes is found; what it knows is left to it."""

import numpy as np
import pytest

from detectors.assisted import CARRIED, LOOK_S, OBJECT, QUIET_S, REST_S, SCORE, Assisted
from detectors.auto import stands
from detectors.motion import MotionDetector
from tracker.core.boxes import iou
from tracker.core.types import Detections, Frame

SIZE = (320, 240)


def road(rng):
    return np.clip(110 + 25 * rng.standard_normal((SIZE[1], SIZE[0], 3)), 0, 255).astype(np.uint8)


GROUND = road(np.random.default_rng(0))


def car(i):
    return np.array([5 + 3 * i, 60, 55 + 3 * i, 95])


def person(i):
    return np.array([280 - 2 * i, 150, 300 - 2 * i, 205])


def picture(i, *places):
    rng = np.random.default_rng(i)
    image = GROUND.copy()
    for place, colour in zip(places, ((30, 30, 220), (200, 220, 30)), strict=False):
        x1, y1, x2, y2 = place(i)
        image[y1:y2, max(x1, 0) : x2] = colour
    return np.clip(image + rng.normal(0, 2, image.shape), 0, 255).astype(np.uint8)


class Knows:
    """Sees what it is told of in the frames it is told of, and nothing else."""

    name, path, runtime, class_names, why, warnings = "knows", "", "test", ("person",), "because", []
    tiled, concurrency = True, 1

    def __init__(self, place, sees=lambda i: True):
        self.place, self.sees = place, sees

    def __call__(self, frame):
        if not self.sees(frame.index):
            return Detections.empty()
        return Detections(self.place(frame.index)[None].astype(float), np.array([0.8]))

    def settings(self, size):
        return {"input_size": "320x256"}

    def even_score(self, size):
        return 0.25 if size == (320, 240) else None

    def close(self):
        pass


def run(network, count=80, empty=20):
    """Boxes by frame: the road alone at first, then both drive and walk."""
    background = [picture(1000 + i) for i in range(6)]
    detector = Assisted(network, MotionDetector(frames=background))
    found = {}
    for i in range(1, count + 1):
        image = picture(i - empty, car, person) if i > empty else picture(i)
        found[i - empty] = detector(Frame(i, i / 25, image, SIZE))
    return detector, found


def test_scores_mean_what_those_of_the_network_mean():
    detector = Assisted(Knows(person), MotionDetector(frames=[picture(1000 + i) for i in range(6)]))
    assert detector.even_score((320, 240)) == 0.25 and detector.even_score((640, 480)) is None


def test_what_goes_and_is_not_known_is_an_object():
    detector, found = run(Knows(lambda i: person(i - 20), lambda i: i > 20))
    assert detector.class_names == ("person", OBJECT) and detector.name == "knows+motion"
    late = [found[i] for i in range(25, 60)]
    assert all(d.class_id.tolist() == [0, 1] for d in late)  # the person is the network's alone
    overlap = [iou(found[i].xyxy[1:], car(i)[None].astype(float))[0, 0] for i in range(25, 60)]
    assert min(overlap) > 0.6
    assert not any(len(found[i]) and (found[i].class_id == 1).any() for i in range(-19, 6))


def test_what_the_network_misses_for_a_while_is_left_to_the_tracker():
    _, found = run(Knows(lambda i: person(i - 20), lambda i: i > 20 and i % 3 == 0))
    people = [person(i)[None].astype(float) for i in range(60)]
    objects = [found[i].xyxy[found[i].class_id == 1] for i in range(30, 60)]
    assert all(len(o) == 1 and iou(o, p)[0, 0] < 0.1 for o, p in zip(objects, people[30:], strict=True))


def test_motion_rests_where_it_is_not_needed():
    calls = []

    class Watched(MotionDetector):
        def __call__(self, frame):
            calls.append(frame.time_s)
            return super().__call__(frame)

    detector = Assisted(Knows(car, lambda i: False), Watched(frames=[picture(i) for i in range(6)]))
    for i in range(1, int(LOOK_S + REST_S) - 1):
        detector(Frame(i, float(i), picture(i), SIZE))
    assert 0 < len(calls) <= LOOK_S + 1 and max(calls) <= LOOK_S + 1


@pytest.mark.parametrize("moves", [False, True])
def test_where_nothing_moves_the_network_looks_now_and_then(moves):
    """One person stands; what only the network sees move keeps it looking."""
    looked = []

    class Watched(Knows):
        def __call__(self, frame):
            looked.append(frame.index)
            return super().__call__(frame)

    def standing(i):
        return person(0) + (3 * moves * i % 60)

    def still(i):
        return picture(i, lambda _: person(0))

    detector = Assisted(Watched(standing), MotionDetector(frames=[still(1000 + i) for i in range(6)]))
    found = [detector(Frame(i, i / 10, still(i), SIZE)) for i in range(1, 61)]
    assert all(len(d) == 1 for d in found)
    assert len(looked) == 60 if moves else 60 / (10 * QUIET_S) <= len(looked) < 20
    looked.clear()
    for i in range(61, 71):
        detector(Frame(i, i / 10, picture(i, lambda _: person(0), lambda i: car(i - 60)), SIZE))
    assert looked == list(range(61, 71))


@pytest.mark.parametrize("shift", [0, 6])
def test_a_camera_that_stands(shift):
    rng = np.random.default_rng(5)
    wide = np.kron(rng.integers(0, 255, (30, 60, 1), np.uint8), np.ones((16, 16, 3), np.uint8))
    pictures = [wide[100:340, 100 + shift * i : 420 + shift * i].copy() for i in range(8)]
    for i, image in enumerate(pictures):
        image[40:120, 30 * i : 30 * i + 40] = 200
    assert stands(pictures) == (shift == 0)
    assert not stands(pictures[:2])


def test_what_the_network_saw_a_moment_ago_is_carried_on_and_keeps_its_class():
    """It sees the car until frame 50, and never the person."""
    _, found = run(Knows(lambda i: car(i - 20), lambda i: 22 < i < 50), count=120)
    seen = {i: d[d.class_id == 0] for i, d in found.items() if 31 <= i < 95}
    assert all(len(d) == 1 and iou(d.xyxy, car(i)[None].astype(float))[0, 0] > 0.6 for i, d in seen.items())
    score = np.array([d.score[0] for d in seen.values()])
    np.testing.assert_allclose(score[:40], CARRIED)  # carries a track on; from then on it is not known any more
    np.testing.assert_allclose(score[-15:], SCORE)


def test_what_moves_on_and_was_surely_seen_is_not_lost_for_a_faint_look():
    """The network sees the car surely until frame 50 and faintly from then on, and a poster faintly all the time."""
    poster = np.array([5, 5, 35, 65.0])

    class Fades(Knows):
        def __call__(self, frame):
            boxes = np.stack([self.place(frame.index), poster]).astype(float)
            return Detections(boxes, np.array([0.8 if frame.index < 50 else 0.3, 0.2]))

    _, found = run(Fades(lambda i: car(i - 20)), count=70)
    cars = {
        i: d.score[iou(d.xyxy, car(i)[None].astype(float))[:, 0] > 0.5].tolist() for i, d in found.items() if i > 10
    }
    assert all(cars[i] == [np.float32(0.8)] for i in range(11, 30))
    faint = np.array([cars[i] for i in range(30, 50)])
    np.testing.assert_allclose(faint[faint > 0.31].max(), SCORE)
    assert (faint[::2] > 0.4).sum() >= 8, "at each look of motion"
    posters = [d.score[iou(d.xyxy, poster[None])[:, 0] > 0.9].tolist() for d in found.values()]
    assert posters == [[np.float32(0.2)]] * len(found)


def test_what_was_an_object_stays_one_where_the_network_begins_to_see_it_faintly():
    """The network sees nothing of the car until frame 55, and something faint from then on."""

    class Begins(Knows):
        def __call__(self, frame):
            boxes = self.place(frame.index)[None].astype(float)
            return Detections(boxes, np.array([0.2])) if frame.index >= 55 else Detections.empty()

    _, found = run(Begins(lambda i: car(i - 20)), count=70)
    scores = {i: d.score[iou(d.xyxy, car(i)[None].astype(float))[:, 0] > 0.5] for i, d in found.items() if i >= 30}
    assert max(scores[34]) == np.float32(SCORE)
    assert max(max(scores[i]) for i in (35, 36)) > 0.5
