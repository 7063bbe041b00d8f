"""Camera motion: known maps are found, a still camera gives none, what moves by itself does not count."""

import cv2
import numpy as np
import pytest

from tracker.core.types import Detections, Frame
from tracker.video.camera_motion import CameraMotion

SIZE = (320, 240)


def scenery(seed=0):
    rng = np.random.default_rng(seed)
    return cv2.GaussianBlur(cv2.resize(rng.integers(0, 255, (60, 80, 3), np.uint8), SIZE), (5, 5), 0)


def frame(index, image):
    return Frame(index, index / 25, image, SIZE)


def moved(image, affine):
    return cv2.warpAffine(image, affine, SIZE, borderMode=cv2.BORDER_REFLECT)


def test_a_still_camera_gives_none():
    camera, rng = CameraMotion(), np.random.default_rng(1)
    for index in range(1, 6):
        noisy = np.clip(scenery() + rng.normal(0, 2, (*SIZE[::-1], 3)), 0, 255).astype(np.uint8)
        assert camera(frame(index, noisy), Detections.empty()) is None


def test_frames_without_pixels_give_none():
    assert CameraMotion()(frame(1, None), None) is None


@pytest.mark.parametrize("shift, angle, scale", [((6, -4), 0.0, 1.0), ((-9, 3), 0.02, 1.0), ((0, 5), 0.0, 1.03)])
def test_a_known_map_is_found(shift, angle, scale):
    affine = np.array([[np.cos(angle), -np.sin(angle), shift[0]], [np.sin(angle), np.cos(angle), shift[1]]])
    affine[:, :2] *= scale
    camera, image = CameraMotion(), scenery()
    assert camera(frame(1, image), None) is None
    found = camera(frame(2, moved(image, affine)), None)
    corners = np.array([[60, 60, 1], [260, 60, 1], [160, 200, 1]], float)
    np.testing.assert_allclose(corners @ found.T, corners @ affine.T, atol=1.0)


def test_an_object_that_moves_alone_is_not_the_camera():
    camera, image, other = CameraMotion(), scenery(), scenery(3)
    box = np.array([[40, 40, 180, 200]], np.float32)
    for index in range(1, 5):
        shown = image.copy()
        shown[40:200, 40 + 8 * index : 180 + 8 * index] = other[40:200, 40:180]
        assert camera(frame(index, shown), Detections(box + 8 * index * np.array([1, 0, 1, 0]))) is None


def test_a_camera_that_rested_is_seen_to_move_at_once():
    camera, image = CameraMotion(), scenery()
    affine = np.array([[1, 0, 7], [0, 1, -5]], float)
    for index in range(1, 20):
        assert camera(frame(index, image), None) is None
    found = camera(frame(20, moved(image, affine)), None)
    np.testing.assert_allclose(found, affine, atol=0.3)
    assert camera(frame(21, moved(image, affine)), None) is None


def test_a_slow_pan_adds_up():
    wide = cv2.resize(scenery(), (1280, 960), interpolation=cv2.INTER_CUBIC)
    camera, total = CameraMotion(), np.zeros(2)
    for index in range(60):
        shift = np.array([[1, 0, -0.5 * index - 100], [0, 1, -200.0]])
        shown = cv2.warpAffine(wide, shift, SIZE)
        affine = camera(frame(index + 1, shown), None)
        total += 0 if affine is None else affine[:, 2]
    np.testing.assert_allclose(total, [-29.5, 0], atol=3)
