"""Candidate pairs and the Hungarian step against brute force; what hypothesis may think of."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.tracking import assignment
from tracker.tracking.assignment import Matches, Pairs, assign, assign_whole, near

adversarial = settings(deadline=None, max_examples=80)
THRESHOLD = 0.7


@st.composite
def problems(draw, most=6):
    """Pairs among T tracks and N detections, with costs on both sides of the threshold."""
    t, n = draw(st.integers(0, most)), draw(st.integers(0, most))
    cells = [(i, j) for i in range(t) for j in range(n) if draw(st.booleans())]
    costs = draw(st.lists(st.floats(0, 1, allow_subnormal=False), min_size=len(cells), max_size=len(cells)))
    i, j = np.array(cells, np.int64).reshape(-1, 2).T
    return Pairs(i, j, np.array(costs, float)), t, n


def gain(pairs, matches):
    """What a set of matches saves against matching nobody; raises if a match is no pair."""
    cost = {(a, b): c for a, b, c in zip(pairs.track, pairs.detection, pairs.cost, strict=True)}
    return sum(THRESHOLD + 1e-5 - cost[a, b] for a, b in zip(matches.track, matches.detection, strict=True))


def best_gain(pairs, t, n):
    """The same of the best matches, by trying all: each track takes a detection or (column n and up) nobody."""
    cost = np.full((t, n + t), THRESHOLD + 1e-5)
    cost[pairs.track, pairs.detection] = np.minimum(pairs.cost, THRESHOLD + 1e-5)
    table = {0: 0.0}  # detections taken, as bits -> largest gain of the tracks so far
    for row in THRESHOLD + 1e-5 - cost:
        after = dict(table)
        for taken, value in table.items():
            for j in range(n):
                if not taken >> j & 1:
                    key = taken | 1 << j
                    after[key] = max(after.get(key, 0.0), value + row[j])
        table = after
    return max(table.values())


def check(pairs, t, n, matches):
    assert len(set(matches.track)) == len(matches.track) and len(set(matches.detection)) == len(matches.detection)
    costs = {(a, b): c for a, b, c in zip(pairs.track, pairs.detection, pairs.cost, strict=True)}
    assert all(costs[pair] <= THRESHOLD for pair in zip(matches.track, matches.detection, strict=True))
    assert gain(pairs, matches) == pytest.approx(best_gain(pairs, t, n), abs=1e-9)


@adversarial
@given(problems())
def test_matches_are_feasible_and_cheapest(problem):
    pairs, t, n = problem
    check(pairs, t, n, assign(pairs, THRESHOLD))
    matches, left = assign_whole(pairs, np.arange(t), np.arange(n), THRESHOLD)
    check(pairs, t, n, matches)
    assert sorted([*left, *matches.detection]) == list(range(n))


@adversarial
@given(problems())
def test_sparse_and_dense_solvers_agree(problem):
    pairs, t, n = problem
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assignment, "_DENSE", 0)
        check(pairs, t, n, assign(pairs, THRESHOLD))


@adversarial
@given(problems(), st.integers(0, 2**32 - 1))
def test_order_of_detections_changes_nothing_but_order(problem, seed):
    pairs, _, n = problem
    rng = np.random.default_rng(seed)
    costs = rng.random(len(pairs))  # no two sums alike, so that the best matches are one set
    order = rng.permutation(n)
    plain = assign(Pairs(pairs.track, pairs.detection, costs), THRESHOLD)
    other = assign(Pairs(pairs.track, np.argsort(order)[pairs.detection], costs), THRESHOLD)
    expected = set(zip(plain.track.tolist(), plain.detection.tolist(), strict=True))
    assert expected == set(zip(other.track.tolist(), order[other.detection].tolist(), strict=True))


def test_large_problems_agree_with_the_whole_matrix():
    rng = np.random.default_rng(0)
    for _ in range(3):
        t, d = near(rng.uniform(0, 100, (400, 2)), np.full((400, 2), 6.0), rng.uniform(0, 100, (380, 2)))
        pairs = Pairs(t, d, rng.uniform(0, 1, len(t)))
        whole, left = assign_whole(pairs, np.arange(400), np.arange(380), THRESHOLD)
        found = assign(pairs, THRESHOLD)
        pairs_of = [sorted(zip(m.track.tolist(), m.detection.tolist(), strict=True)) for m in (whole, found)]
        assert pairs_of[0] == pairs_of[1] and len(left) == 380 - len(found.track)


def test_left_over_detections_come_in_the_original_order():
    """Columns the solver gave nobody first, then those it gave in vain, by row."""
    rows, columns = np.array([3, 1]), np.array([5, 2, 9])
    matches, left = assign_whole(Pairs(*np.zeros((2, 0), np.int64), np.zeros(0)), rows, columns, THRESHOLD)
    assert len(matches.track) == 0 and left.tolist() == [9, 5, 2]
    matches, left = assign_whole(Pairs(np.array([1]), np.array([2]), np.array([0.1])), rows, columns, THRESHOLD)
    assert (matches.track.tolist(), matches.detection.tolist()) == ([1], [2]) and left.tolist() == [9, 5]


@adversarial
@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 2**32 - 1), st.sampled_from([1, 7, 1 << 20]))
def test_near_finds_every_pair_in_reach(t, n, seed, chunk):
    rng = np.random.default_rng(seed)
    centre, others = rng.integers(0, 9, (t, 2)).astype(float), rng.integers(0, 9, (n, 2)).astype(float)
    reach = rng.integers(0, 4, (t, 2)).astype(float)
    reach[rng.random((t, 2)) < 0.1] = np.nan
    centre[rng.random((t, 2)) < 0.05] = np.inf
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assignment, "_CHUNK", chunk)
        a, b = near(centre, reach, others)
    finite = np.isfinite(centre).all(axis=1) & np.isfinite(reach).all(axis=1)
    with np.errstate(invalid="ignore"):
        expected = (np.abs(centre[:, None] - others[None]) <= reach[:, None]).all(axis=2) & finite[:, None]
    assert sorted(zip(a.tolist(), b.tolist(), strict=True)) == list(map(tuple, np.argwhere(expected).tolist()))
    assert (np.diff(a) >= 0).all()


def test_empty_sets():
    none = Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    assert len(assign(none, THRESHOLD).track) == 0
    for rows, columns in permutations((np.zeros(0, np.int64), np.arange(3))):
        matches, left = assign_whole(none, rows, columns, THRESHOLD)
        assert len(matches.track) == 0 and left.tolist() == columns.tolist()
    assert len((Matches.empty() + Matches.empty()).track) == 0
