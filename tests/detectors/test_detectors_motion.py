import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from detectors.motion import SAMPLES, MotionDetector, merge_fragments
from detectors.registry import open_detector
from tracker.core.boxes import iou
from tracker.core.types import Frame
from tracker.errors import DetectorError
from videos import crossing

DATA = os.environ.get("TRACKER_DATA")
WIDTH, HEIGHT = 320, 240


def frame(index, image):
    return Frame(index, index / 25, image, (image.shape[1], image.shape[0]))


def street(rng, objects=(), shadow=False, shift=0, gain=1.0, offset=0.0):
    """A textured ground with boxes (x, y, w, h) on it, each with a shadow to its right if asked."""
    ground = cv2.GaussianBlur(np.random.default_rng(1).normal(120, 60, (HEIGHT, WIDTH + 100, 3)), (0, 0), 2)
    image = ground[:, shift : shift + WIDTH].copy()
    for x, y, w, h in objects:
        if shadow:
            image[y + h // 2 : y + h, x + w : x + 2 * w] *= 0.65
        image[y : y + h, x : x + w] = (30, 40, 220)
    return np.clip(image * gain + offset + rng.normal(0, 2, image.shape), 0, 255).astype(np.uint8)


def moving(i):
    return [(10 + 4 * i, 60, 40, 30), (260 - 3 * i, 150, 30, 60)]


def test_one_box_for_each_object_from_the_first_frame_on():
    rng = np.random.default_rng(0)
    video = [street(rng, moving(i), shadow=True) for i in range(40)]
    detector = open_detector("motion", frames=[frame(i + 1, image) for i, image in enumerate(video[::3])])
    for i, image in enumerate(video):
        found = detector(frame(i + 1, image))
        truth = np.array([[x, y, x + w, y + h] for x, y, w, h in moving(i)], float)
        overlap = iou(truth, found.xyxy)
        assert len(found) == 2 and (overlap.max(axis=1) > 0.7).all(), i
    assert detector.warnings == []


@pytest.mark.parametrize("gain, offset", [(1.0, -55), (0.7, -20), (1.3, 30), (0.5, 0), (1.0, 4)])
def test_an_exposure_that_follows_what_drives_by_hides_nothing(gain, offset):
    rng = np.random.default_rng(0)
    detector = MotionDetector(frames=[street(rng, moving(i)) for i in range(0, 40, 3)])
    for i in range(40):
        part = np.clip((i - 10) / 10, 0, 1)  # it changes in ten frames and stays
        image = street(rng, moving(i), gain=1 + part * (gain - 1), offset=part * offset)
        found = detector(frame(i + 1, image))
        truth = np.array([[x, y, x + w, y + h] for x, y, w, h in moving(i)], float)
        assert found is not None and len(found) == 2, i
        assert (iou(truth, found.xyxy).max(axis=1) > 0.7).all(), i


def test_without_a_primer_it_warms_up_and_then_sees():
    rng = np.random.default_rng(0)
    detector = MotionDetector()
    answers = [detector(frame(i + 1, street(rng, moving(i)))) for i in range(60)]
    assert [a is None for a in answers[: SAMPLES[0]]] == [True] * (SAMPLES[0] - 1) + [False]
    for i in range(30, 60):
        truth = np.array([[x, y, x + w, y + h] for x, y, w, h in moving(i)], float)
        assert (iou(truth, answers[i].xyxy).max(axis=1) > 0.6).all(), i


def test_an_empty_street_and_a_change_of_light_are_no_objects():
    rng = np.random.default_rng(0)
    detector = MotionDetector(frames=[street(rng) for _ in range(5)])
    for i in range(40):
        found = detector(frame(i + 1, street(rng, gain=1.0 + 0.2 * np.sin(i / 8))))
        assert found is None or len(found) == 0


def test_it_says_so_when_the_camera_moves():
    rng = np.random.default_rng(0)
    detector = MotionDetector(frames=[street(rng) for _ in range(5)])
    for i in range(60):
        detector(frame(i + 1, street(rng, moving(0), shift=max(0, i - 20))))
    (warning,) = detector.warnings
    assert "the camera moves at frame 2" in warning and "static camera" in warning


def test_a_cut_to_another_view_is_survived():
    rng = np.random.default_rng(0)
    detector = MotionDetector(frames=[street(rng) for _ in range(5)])
    answers = []
    tiles = (np.indices((HEIGHT, WIDTH)) // 24).sum(axis=0) % 2 * 2 - 1  # the other view: a paved square
    for i in range(70):
        image = street(rng, moving(i)).astype(int)
        paved = image + 80 * tiles[..., None]
        answers.append(detector(frame(i + 1, (image if i < 20 else np.clip(paved, 0, 255)).astype(np.uint8))))
    assert len(answers[19]) == 2 and answers[21] is None
    assert len(answers[69]) == 2


def test_frames_that_change_size_start_anew():
    rng = np.random.default_rng(0)
    detector = MotionDetector()
    for i in range(10):
        detector(frame(i + 1, street(rng, moving(i))))
    assert detector(frame(11, street(rng, moving(11))[:180, :200])) is None


def test_wrong_use():
    with pytest.raises(DetectorError, match="no pixels"):
        MotionDetector()(Frame(1, 0.0, None, (64, 48)))
    with pytest.raises(DetectorError, match=r"'car'.*knows: object"):
        MotionDetector(classes=["car"])


def test_pieces_of_a_car_become_one_and_two_cars_in_a_row_stay_two():
    roof, bonnet = [22, 10, 58, 16], [20, 20, 60, 45]
    ahead = [20, -28, 60, 4]
    boxes, pixels = merge_fragments(np.array([roof, bonnet, ahead], float), np.array([200.0, 900, 1200]), 5)
    assert sorted(boxes.tolist()) == [[20, -28, 60, 4], [20, 10, 60, 45]] and sorted(pixels) == [1100, 1200]
    head, legs = [10, 0, 20, 22], [8, 26, 22, 60]
    assert len(merge_fragments(np.array([head, legs], float), np.array([200.0, 400]), 5)[0]) == 1
    assert len(merge_fragments(np.zeros((0, 4)), np.zeros(0), 5)[0]) == 0
    assert len(merge_fragments(np.array([head], float), np.array([2.0]), 5)[0]) == 0


def test_the_crossing_scene():
    scene = list(crossing.scene(60, seed=2))
    detector = MotionDetector(frames=[image for image, _ in scene[::5]])
    seen = alone = 0
    for i, (image, rows) in enumerate(scene):
        found = detector(frame(i + 1, image))
        truth = np.array([[r.left, r.top, r.left + r.width, r.top + r.height] for r in rows], float)
        apart = (iou(truth, truth) - np.eye(len(truth))).max(axis=1) == 0
        whole = np.array([r.visibility == 1 and r.height > 30 for r in rows]) & apart
        alone += whole.sum()
        seen += (iou(truth[whole], found.xyxy).max(axis=1, initial=0) > 0.5).sum()
    assert alone > 150 and seen / alone > 0.75, f"{seen} of {alone}"


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="TRACKER_DATA is not set")
def test_vehicles_on_a_highway():
    folder = Path(DATA) / "mot" / "CDnet-highway-A"
    images = [cv2.imread(str(p)) for p in sorted((folder / "img1").glob("*.jpg"))]
    truth = np.loadtxt(folder / "gt" / "gt.txt", delimiter=",")
    detector = MotionDetector(frames=images[:100:9])
    hits = wanted = false = 0
    for i, image in enumerate(images, 1):
        found = detector(frame(i, image))
        rows = truth[truth[:, 0] == i]
        overlap = iou(np.hstack([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]]), found.xyxy)
        counted = rows[:, 6] == 1
        wanted += counted.sum()
        hits += (overlap[counted].max(axis=1, initial=0) > 0.5).sum()
        false += (overlap.max(axis=0, initial=0) < 0.3).sum()
    assert hits / wanted > 0.95 and false / wanted < 0.06
