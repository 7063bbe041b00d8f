"""Boxes to crops."""

import cv2
import numpy as np
import pytest

from tracker.encoder.crops import CropBuffer

IMAGE = np.random.default_rng(1).integers(0, 256, (90, 120, 3), np.uint8)


def test_stretch_is_a_resize_of_the_box():
    crops = CropBuffer((32, 16, 3)).cut([(IMAGE, np.array([[10, 20, 40.9, 80]]))])
    np.testing.assert_array_equal(crops[0], cv2.resize(IMAGE[20:80, 10:40], (16, 32)))


def test_aspect_changes_the_width_about_the_centre():
    crops = CropBuffer((32, 16, 3), "aspect").cut([(IMAGE, np.array([[10, 20, 40, 60]]))])
    np.testing.assert_array_equal(crops[0], cv2.resize(IMAGE[20:60, 15:35], (16, 32)))


def test_what_reaches_over_the_border_is_cut_off():
    crops = CropBuffer((8, 8, 3)).cut([(IMAGE, np.array([[-30, -10, 20, 20], [100, 70, 400, 300]]))])
    np.testing.assert_array_equal(crops[0], cv2.resize(IMAGE[0:20, 0:20], (8, 8)))
    np.testing.assert_array_equal(crops[1], cv2.resize(IMAGE[70:90, 100:120], (8, 8)))


@pytest.mark.parametrize("box", [[-50, -50, -10, -10], [200, 10, 300, 40], [10, 10, 10.2, 40], [0, 200, 10, 300]])
def test_a_box_without_pixels_gives_black(box):
    buffer = CropBuffer((8, 4, 3))
    buffer.cut([(IMAGE, np.array([[0, 0, 50, 50]]))])
    assert not buffer.cut([(IMAGE, np.array([box]))]).any()


def test_several_frames_follow_each_other_and_the_buffer_grows():
    other = 255 - IMAGE
    first, second = np.tile([[10, 10, 30, 40]], (50, 1)), np.array([[5, 5, 60, 60]])
    crops = CropBuffer((16, 8, 3)).cut([(IMAGE, first), (other, np.zeros((0, 4))), (other, second)])
    assert crops.shape == (51, 16, 8, 3)
    np.testing.assert_array_equal(crops[49], crops[0])
    np.testing.assert_array_equal(crops[50], cv2.resize(other[5:60, 5:60], (8, 16)))


def test_nothing_to_cut():
    assert CropBuffer((8, 4, 3)).cut([]).shape == (0, 8, 4, 3)
    assert CropBuffer((8, 4, 1)).cut([(IMAGE, np.zeros((0, 4)))]).shape == (0, 8, 4, 1)


def test_grey_crops():
    crops = CropBuffer((8, 4, 1)).cut([(IMAGE, np.array([[0, 0, 40, 80]]))])
    np.testing.assert_array_equal(
        crops[0, ..., 0], cv2.resize(cv2.cvtColor(IMAGE[:80, :40], cv2.COLOR_BGR2GRAY), (4, 8))
    )


def test_refuses_an_unknown_rule():
    with pytest.raises(ValueError, match="crop rule 'squash'"):
        CropBuffer((8, 8, 3), "squash")
