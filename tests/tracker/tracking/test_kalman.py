"""The array filter against filterpy, one object per track, to 1e-9."""

import numpy as np
import pytest
from filterpy.kalman import KalmanFilter

from tests.oracle import kalman, measurement_noise, process_noise
from tracker.tracking.kalman import GATE, KalmanXYAH, squared_mahalanobis
from tracker.tracking.kalman_xywh import KalmanXYWH

EXACT = {"rtol": 1e-9, "atol": 1e-9}


def dense(covariance):
    """Blocks (T,4,3) as full covariance matrices (T,8,8)."""
    full = np.zeros((len(covariance), 8, 8))
    i = np.arange(4)
    full[:, i, i] = covariance[..., 0]
    full[:, i, i + 4] = full[:, i + 4, i] = covariance[..., 1]
    full[:, i + 4, i + 4] = covariance[..., 2]
    return full


def walk(rng, tracks, frames):
    """Measurements (frames, tracks, 4) of boxes that walk, grow and shrink."""
    shape = [rng.uniform(0.2, 3, tracks), rng.uniform(20, 300, tracks)]
    start = np.column_stack([rng.uniform(0, 1000, (tracks, 2)), *shape])
    step = rng.normal(0, [3, 3, 0.01, 1], (frames, tracks, 4)).cumsum(axis=0)
    measured = start + step
    measured[..., 2:] = np.maximum(measured[..., 2:], [0.1, 10])
    return measured


@pytest.mark.parametrize("seed", range(3))
def test_filter_agrees_with_filterpy(seed):
    rng = np.random.default_rng(seed)
    motion, measured = KalmanXYAH(), walk(rng, 9, 40)
    mean, covariance = motion.initiate(measured[0])
    filters = [kalman(z) for z in measured[0]]
    for z in measured[1:]:
        mean, covariance = motion.predict(mean, covariance)
        for f in filters:
            f.Q = process_noise(f.x[3])
            f.predict()
        np.testing.assert_allclose(mean, [f.x for f in filters], **EXACT)
        np.testing.assert_allclose(dense(covariance), [f.P for f in filters], **EXACT)
        s = motion.innovation(mean, covariance)
        full = [f.H @ f.P @ f.H.T + measurement_noise(f.x[3]) for f in filters]
        np.testing.assert_allclose([np.diag(m) for m in full], s, **EXACT)
        gaps = [(z[i] - f.x[:4]) @ np.linalg.solve(full[i], z[i] - f.x[:4]) for i, f in enumerate(filters)]
        np.testing.assert_allclose(squared_mahalanobis(z - mean[:, :4], s), gaps, **EXACT)
        seen = np.flatnonzero(rng.random(len(filters)) < 0.6)
        mean[seen], covariance[seen] = motion.update(mean[seen], covariance[seen], z[seen])
        for i in seen:
            filters[i].update(z[i], R=measurement_noise(filters[i].x[3]))
        np.testing.assert_allclose(mean, [f.x for f in filters], **EXACT)
        np.testing.assert_allclose(dense(covariance), [f.P for f in filters], **EXACT)


@pytest.mark.parametrize("motion, scales", [(KalmanXYAH(), (50, 50, 1, 50)), (KalmanXYWH(), (20, 50, 20, 50))])
def test_closed_forms_step_as_the_models_they_take_their_numbers_from(motion, scales):
    """A box 20 wide and 50 high: each component is filterpy's model of it, at the scale of the box."""
    z = motion.measure(np.array([[100.0, 80, 120, 130]]))
    mean, covariance = motion.initiate(z)
    models = motion.models()
    for k, (model, scale) in enumerate(zip(models, scales, strict=True)):
        model.x, model.P, model.Q = np.array([[z[0, k]], [0]]), model.P * scale**2, model.Q * scale**2
        model.R = model.R * scale**2
    mean, covariance = motion.predict(mean, covariance)
    mean, covariance = motion.update(mean, covariance, z * [1.01, 1, 1, 1])
    for k, model in enumerate(models):
        model.predict()
        model.update(z[0, k] * (1.01 if k == 0 else 1))
        np.testing.assert_allclose(mean[0, [k, k + 4]], model.x[:, 0], **EXACT)
        np.testing.assert_allclose(covariance[0, k], model.P[[0, 0, 1], [0, 1, 1]], **EXACT)


def test_time_between_frames_scales_the_model():
    motion = KalmanXYAH()
    mean, covariance = motion.initiate(walk(np.random.default_rng(3), 5, 1)[0])
    mean[:, 4:] = np.random.default_rng(4).normal(size=(5, 4))
    for dt in (0.5, 1.0, 2.5):
        moved, spread = motion.predict(mean, covariance, dt)
        for i in range(5):
            f = KalmanFilter(dim_x=8, dim_z=4)
            f.F = np.eye(8) + dt * np.eye(8, k=4)
            f.x, f.P, f.Q = mean[i].copy(), dense(covariance)[i], process_noise(mean[i, 3]) * dt
            f.predict()
            np.testing.assert_allclose(moved[i], f.x, **EXACT)
            np.testing.assert_allclose(dense(spread)[i], f.P, **EXACT)


def test_covariance_stays_positive_over_a_long_run():
    rng = np.random.default_rng(5)
    motion, measured = KalmanXYAH(), walk(rng, 4, 3000)
    mean, covariance = motion.initiate(measured[0])
    for z in measured[1:]:
        mean, covariance = motion.predict(mean, covariance)
        mean, covariance = motion.update(mean, covariance, z)
    assert np.linalg.eigvalsh(dense(covariance)).min() > 0
    assert (squared_mahalanobis(measured[-1] - mean[:, :4], motion.innovation(mean, covariance)) < GATE).all()


def test_measuring_and_drawing_a_box_are_inverse():
    xyxy = np.array([[10.0, 20, 50, 120], [-5, 0, 3, 400]])
    motion = KalmanXYAH()
    mean, _ = motion.initiate(motion.measure(xyxy))
    np.testing.assert_allclose(motion.box(mean), xyxy, rtol=0, atol=1e-9)


def test_nothing_in_nothing_out():
    motion = KalmanXYAH()
    mean, covariance = motion.initiate(np.zeros((0, 4)))
    mean, covariance = motion.predict(mean, covariance)
    mean, covariance = motion.update(mean, covariance, np.zeros((0, 4)))
    assert mean.shape == (0, 8) and covariance.shape == (0, 4, 3)
    assert motion.box(mean).shape == (0, 4) and dense(covariance).shape == (0, 8, 8)
    assert squared_mahalanobis(np.zeros((0, 4)), motion.innovation(mean, covariance)).shape == (0,)


def test_arguments_are_left_as_they_are():
    motion = KalmanXYAH()
    mean, covariance = motion.initiate(np.array([[5.0, 6, 0.5, 80]]))
    kept = mean.copy(), covariance.copy()
    motion.predict(mean, covariance)
    motion.update(mean, covariance, np.array([[7.0, 8, 0.6, 90]]))
    np.testing.assert_array_equal(mean, kept[0])
    np.testing.assert_array_equal(covariance, kept[1])
