"""The benchmark of counts: what it calls right, and the drawn scene, which is exact."""

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.counting import Passing, count_rows, geh, judge, nwrmse
from benchmarks.counting_drawn import drawn
from tracker.answers.scene import Line


def at(time_s, direction="right", name="car", span=0.0, **more):
    return Passing("gate", direction, name, time_s - span, time_s + span, **more)


def test_every_crossing_is_matched_once():
    truth = [at(1, span=0.5), at(1.2, span=0.5), at(5, span=0.5)]
    score = judge("c", "w", [at(1.1), at(1.1), at(1.1), at(9)], truth, 10)
    assert (score.true, score.counted) == (3, 4)
    assert score.f1 == pytest.approx(2 * 2 / (2 * 2 + 2 + 1))
    assert judge("c", "w", [at(1), at(1.3), at(5.4)], truth, 10).f1 == 1.0
    assert judge("c", "w", [at(1, "left")], truth, 10).f1 == 0.0


def test_a_doubtful_crossing_is_neither_missed_nor_wrong():
    truth = [at(1, span=0.5), at(3, span=0.5, doubtful=True)]
    for counted in ([at(1)], [at(1), at(3)]):
        score = judge("c", "w", counted, truth, 10)
        assert (score.f1, score.true, score.counted) == (1.0, 1, 1)


def test_classes_that_are_right_too():
    truth = [at(1, name="truck", span=0.5, also=("car",))]
    assert judge("c", "w", [at(1)], truth, 10).classes == 1.0
    assert judge("c", "w", [at(1, name="bus")], truth, 10).classes == 0.0


def test_geh_and_nwrmse():
    truth = [at(t, span=0.1) for t in np.linspace(0.5, 9.5, 100)]
    assert geh(truth, truth) == 0.0 and nwrmse(truth, truth, 10.0) == 1.0
    assert geh(truth[:81], truth) == pytest.approx(np.sqrt(2 * 19**2 / 181))
    assert 0.7 < nwrmse(truth[:81], truth, 10.0) < 0.95 and nwrmse([], truth, 10.0) < 0.4


def test_rows_of_ground_truth_count():
    rows = np.array([[f, 1, 10 + 5 * f, 50, 20, 40, 1] for f in range(1, 60)], float)
    lines = (Line("mid", np.array([[0.5, 0.0], [0.5, 1.0]])),)
    [passing] = count_rows(rows, lines, (320, 240), 10)
    assert passing.first_s == pytest.approx((160 - 10 - 10) / 5 / 10 - 0.1, abs=0.01)


def test_the_drawn_scene_is_exact():
    """Crossings by line, direction and class; speeds within 3 %, dwell within a frame, nearly all."""
    found = drawn(3, 250)
    assert found.exact and found.counted.total() > 10
    assert np.median(found.speed_errors) < 0.03 and np.quantile(found.speed_errors, 0.9) < 0.08
    assert np.median(found.dwell_errors) < 1 / 25


def test_peers_that_are_not_installed_are_asked_for_before_anything_runs(monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.counting.find_spec", lambda name: None)
    assert main(["counting", "--peers"]) == 1
    assert "pip install supervision trackers" in capsys.readouterr().err
