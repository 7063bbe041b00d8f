"""Smoothing after a run: gaps closed, tracklets stitched, the smoother against one solution of all its equations."""

import numpy as np
import pytest

from tracker.app.smoothing import smooth_file
from tracker.core.mot import read_rows
from tracker.tracking.smooth import Smoothing, rts, smooth_rows


def walk(track, frames, x0=100.0, speed=2.0, y=50.0):
    frames = np.asarray(frames)
    one = np.ones(len(frames))
    return np.column_stack([frames, track * one, x0 + speed * frames, y * one, 20 * one, 50 * one, 0.9 * one])


def test_nothing_stays_nothing():
    assert smooth_rows(np.zeros((0, 7)), 10).shape == (0, 7)


def test_gaps_are_filled_on_the_path():
    rows = smooth_rows(walk(3, [*range(1, 31), *range(36, 60)]), 10)
    assert rows[:, 0].tolist() == list(range(1, 60)) and set(rows[:, 1]) == {3}
    np.testing.assert_allclose(rows[:, 2], 100 + 2 * rows[:, 0], atol=0.25)


def test_boxes_written_without_a_detection_give_way_to_the_line():
    rows = walk(3, range(1, 60))
    rows[30:36, 2] += 8
    rows[30:36, 6] = 0
    smooth = smooth_rows(rows, 10)
    np.testing.assert_allclose(smooth[:, 2], 100 + 2 * smooth[:, 0], atol=0.25)
    assert len(smooth) == 59 and len(smooth_rows(rows * [1, 1, 1, 1, 1, 1, 0], 10)) == 59


def test_long_gaps_stay_open():
    rows = smooth_rows(walk(3, [*range(1, 31), *range(60, 90)]), 10, Smoothing(fill_s=1.0))
    assert not np.isin(np.arange(31, 60), rows[:, 0]).any()


def test_a_tracklet_that_goes_on_takes_the_earlier_number_and_others_keep_theirs():
    rows = np.concatenate([walk(2, range(1, 31)), walk(9, range(38, 70)), walk(5, range(1, 70), y=300)])
    assert set(smooth_rows(rows, 10)[:, 1]) == {2, 5}


@pytest.mark.parametrize("change", [dict(y=95.0), dict(x0=160.0)])
def test_a_tracklet_elsewhere_is_not_stitched(change):
    rows = np.concatenate([walk(2, range(1, 31)), walk(9, range(38, 70), **change)])
    assert set(smooth_rows(rows, 10)[:, 1]) == {2, 9}


def test_unlike_tracklets_are_not_stitched():
    rows = np.concatenate([walk(2, range(1, 31)), walk(9, range(38, 70))])
    a, b = np.eye(2, dtype=np.float32)
    assert set(smooth_rows(rows, 10, features={2: a, 9: b})[:, 1]) == {2, 9}
    assert set(smooth_rows(rows, 10, features={2: a, 9: a})[:, 1]) == {2}


def test_noise_is_smoothed_away():
    rng = np.random.default_rng(0)
    true = walk(1, range(1, 200))
    noisy = true.copy()
    noisy[:, 2:4] += rng.normal(0, 2, (len(true), 2))
    out = smooth_rows(noisy, 25)
    assert np.abs(out[:, 2] - true[:, 2]).mean() < 0.6 * np.abs(noisy[:, 2] - true[:, 2]).mean()


@pytest.mark.parametrize("frames", [1, 2, 40])
def test_the_smoother_finds_the_likeliest_path(frames):
    """The likeliest states given all measurements, of one linear system: x of every frame, then v of every frame."""
    rng = np.random.default_rng(1)
    z = np.cumsum(rng.normal(1, 0.5, (frames, 2)), axis=0) + rng.normal(0, 1, (frames, 2))
    velocity, measurement = 0.3, 1.2
    x, v = np.eye(frames, 2 * frames), np.eye(frames, 2 * frames, k=frames)
    moved = x[1:] - x[:-1] - v[:-1]  # half of what the velocity changes by
    changed = v[1:] - v[:-1]
    exact = 1e6  # both come of one number, the change: the equation between them holds exactly
    rows = [x / measurement, v[:1] / measurement, changed / velocity, exact * (moved - changed / 2)]
    wanted = np.zeros((sum(len(r) for r in rows), 2))
    wanted[:frames] = z / measurement
    path = np.linalg.lstsq(np.concatenate(rows), wanted, rcond=None)[0][:frames]
    np.testing.assert_allclose(rts(z, velocity, measurement), path, atol=1e-6)


def test_a_file_with_a_stride_keeps_its_frame_numbers(tmp_path):
    path = tmp_path / "tracks.txt"
    frames = [f for f in range(5, 80, 3) if f != 32]
    lines = [f"{f},1,{10 + f},20,20,40,0.5,-1,-1,-1\n" for f in frames]
    path.write_text("".join(lines))
    (tmp_path / "out.txt").write_text(smooth_file(path, 10, Smoothing(), first=5, stride=3))
    assert read_rows(tmp_path / "out.txt")[:, 0].tolist() == list(range(5, 80, 3))
