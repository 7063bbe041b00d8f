"""Anchors of SSD networks at sizes other than the trained one."""

import os
from pathlib import Path

import numpy as np
import pytest

from detectors.ssd_anchors import anchors_at, layers_of

SIDE = 300
CELLS = {16: 19, 32: 10, 64: 5, 128: 3, 256: 2, 512: 1}
SHAPES = np.array([[0.2, 0.1], [0.3, 0.3]], np.float32)


def trained(side=SIDE, cells=CELLS):
    """Anchors as the Object Detection API lays them: centres divide the input evenly."""
    rows = []
    for stride, count in cells.items():
        even = (np.arange(count) + 0.5) / count
        rows += [[y, x, *shape * np.sqrt(stride / 16)] for y in even for x in even for shape in SHAPES]
    return np.array(rows, np.float32)


def middles(side, halvings):
    """Where the cells behind a chain of convolutions look, by TensorFlow: the mean of a ramp under each."""
    import tensorflow as tf

    ramp = np.broadcast_to(np.arange(side, dtype=np.float32)[:, None] + 0.5, (side, 64))[None, ..., None]
    mean = np.zeros((3, 3, 1, 1), np.float32)
    mean[:, 1] = 1 / 3
    for _ in range(halvings):
        ramp = tf.nn.conv2d(ramp, mean, 2, "SAME")
    return ramp.numpy()[0, :, 0, 0][1:-1]  # at the ends it means zeros, too


@pytest.mark.parametrize("side", [288, 299, 320, 348, 384, 512])
def test_anchors_stand_to_cells_as_they_did_in_training(side):
    layers = layers_of(trained(), SIDE)
    assert [layer.stride for layer in layers] == list(CELLS)
    found = anchors_at(layers, SIDE, (64, side))
    for number, (stride, halvings) in enumerate([(16, 4), (32, 5)]):
        count, columns = -(-side // stride), [-(-64 // s) for s in CELLS]
        before = sum(2 * -(-side // s) * c for s, c in list(zip(CELLS, columns, strict=True))[:number])
        rows = found[before : before + 2 * count * columns[number]].reshape(count, columns[number], 2, 4)
        centres = rows[1:-1, 0, 0, 0] * side
        even = (np.arange(CELLS[stride]) + 0.5) * SIDE / CELLS[stride]
        aside = np.mean(even[1:-1] - middles(SIDE, halvings))
        np.testing.assert_allclose(centres - middles(side, halvings), aside, atol=1e-3)
        np.testing.assert_allclose(np.diff(centres), stride, atol=1e-3)
        pixels = SHAPES * np.sqrt(stride / 16) * SIDE
        np.testing.assert_allclose(rows[0, 0, :, 2:] * (side, 64), pixels, rtol=1e-5)


def test_an_input_may_be_wide_or_high():
    layers = layers_of(trained(), SIDE)
    wide, high = anchors_at(layers, SIDE, (416, 224)), anchors_at(layers, SIDE, (224, 416))
    assert len(wide) == len(high) == 2 * (26 * 14 + 13 * 7 + 7 * 4 + 4 * 2 + 2 * 1 + 1 * 1)
    assert {*map(tuple, wide[:, :2].round(4).tolist())} == {*map(tuple, high[:, 1::-1].round(4).tolist())}


def test_anchors_of_no_grid_belong_to_no_layers():
    anchors = trained()
    assert layers_of(anchors[::-1], SIDE) == []
    assert layers_of(np.delete(anchors, 100, axis=0), SIDE) == []
    assert layers_of(anchors + np.float32([0.05, 0, 0, 0]), SIDE) == []
    assert layers_of(trained(cells={20: 15}), SIDE) == []  # cells 20 pixels apart: no halvings


@pytest.mark.skipif("TRACKER_DATA" not in os.environ, reason="needs footage: set TRACKER_DATA")
def test_a_frames_own_shape_finds_more_than_the_trained_square():
    from benchmarks.detect import figures, measure
    from benchmarks.metrics import read_truth

    folder = Path(os.environ["TRACKER_DATA"]) / "mot" / "PETS09-S2L1"
    entrants = measure(folder, [f"ssdlite@input_size={size}" for size in ("300x300", "384x288")], 20)
    square, own = (figures(read_truth(folder), entrant, 20)["ap50"] for entrant in entrants)
    assert own > square + 0.1  # 0.77 and 0.61 of all frames; with centres that divide the input evenly 0.65
