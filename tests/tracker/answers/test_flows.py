"""Which ends of ways are one gate: the kinds of places that a clustering by density tells apart."""

import numpy as np
import pytest

from tests.tracker.answers.ways import SIZE
from tracker.answers.flows import GATE, find_flows
from tracker.answers.ways import Way

NEAR = GATE * float(np.hypot(*SIZE))
"""Pixels within which ends belong to one gate."""


def gates(starts):
    """The number of ends of each gate that ways from `starts`, in shares of NEAR down the left side, begin at.

    Their ends lie apart from each other.
    """
    ends = [(600, 20 + 2 * NEAR * n) for n in range(len(starts))]
    ways = [
        Way(n, "car", np.array([(40, 40 + NEAR * start, 0), (*end, 9)], np.float32), 30.0)
        for n, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]
    return sorted(g.ends for g in find_flows(ways, SIZE).gates)


@pytest.mark.parametrize(
    "starts, found",
    [
        ([0, 0.1, 0.2, 4, 8], [3]),  # three are a gate, strays are none
        ([0, 0.1, 4, 4.1, 8], []),  # two are none
        ([0, 0.9, 1.8, 5, 8], [3]),  # the one in the middle alone sees two others
        ([0, 0.4, 0.8, 1.2, 1.6, 2.0], [6]),  # a long row, whose ends are far from each other, is one
        ([0, 0.1, 0.2, 5, 5.1, 5.2], [3, 3]),
        ([2, 2, 2, 2, 2], [5]),  # all in one place
    ],
)
def test_ends_that_lie_close_are_one_gate(starts, found):
    assert gates(starts) == found
