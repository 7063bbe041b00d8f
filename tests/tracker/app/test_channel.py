"""Bounded channels and the timing of stages."""

import threading
import time

import numpy as np
import pytest

from tracker.app.channel import Channel, Closed, OrderedWorkers
from tracker.app.timing import Histogram, Timing


def test_keeps_order_and_takes_one_item_of_every_lane():
    channel = Channel(lanes=2, capacity=3)
    for item in (1, 2, 3):
        channel.put(("a", item), 0)
    channel.put(("b", 1), 1)
    assert sorted(channel.take()) == [("a", 1), ("b", 1)]
    assert channel.take() == [("a", 2)]
    assert len(channel) == 1


def test_takes_groups_of_one_size_and_the_rest_at_the_end():
    channel = Channel(lanes=2, capacity=5)
    for item in range(3):
        channel.put(("a", item), 0)
    for item in range(2):
        channel.put(("b", item), 1)
    channel.end(1, ("b", "end"))
    assert channel.take(3) == [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1), ("b", "end")]
    done = threading.Event()
    taken = []
    thread = threading.Thread(target=lambda: (taken.extend(channel.take(3)), done.set()), daemon=True)
    thread.start()
    channel.put(("a", 3), 0)
    assert not done.wait(0.1)
    channel.end(0, ("a", "end"))
    assert done.wait(2) and taken == [("a", 3), ("a", "end")]
    with pytest.raises(Closed):
        channel.take(3)


def test_put_waits_for_room():
    channel = Channel(capacity=1)
    channel.put(1)
    done = threading.Event()
    thread = threading.Thread(target=lambda: (channel.put(2), done.set()), daemon=True)
    thread.start()
    assert not done.wait(0.1)
    assert channel.take() == [1]
    assert done.wait(2)
    assert channel.take() == [2]


def test_newest_replaces_and_counts():
    channel = Channel(lanes=2, capacity=1, newest=frozenset({0}))
    for item in range(5):
        channel.put(item, 0)
    assert channel.take() == [4]
    assert channel.dropped == [4, 0]


def test_end_passes_a_last_item_then_closes():
    channel = Channel(capacity=1)
    channel.put(1)
    assert channel.end(0, 99)
    assert not channel.end(0, 100)
    with pytest.raises(Closed):
        channel.put(2)
    assert channel.take() == [1]
    assert channel.take() == [99]
    with pytest.raises(Closed):
        channel.take()


def test_end_wakes_a_writer_that_waits_for_room():
    channel = Channel(capacity=1)
    channel.put(1)
    seen = []

    def write():
        try:
            channel.put(2)
        except Closed:
            seen.append("closed")

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    time.sleep(0.05)
    channel.end(0)
    thread.join(2)
    assert seen == ["closed"]


def test_abort_wakes_readers_and_forgets():
    channel = Channel(lanes=2)
    channel.put(1, 0)
    channel.abort()
    with pytest.raises(Closed):
        channel.take()


@pytest.mark.parametrize("lanes, capacity", [(0, 1), (1, 0)])
def test_refuses_channels_without_room(lanes, capacity):
    with pytest.raises(ValueError, match="expected at least 1"):
        Channel(lanes, capacity)


def test_many_writers_lose_nothing():
    channel = Channel(lanes=4, capacity=2)

    def write(lane):
        for item in range(200):
            channel.put((lane, item), lane)
        channel.end(lane)

    for lane in range(4):
        threading.Thread(target=write, args=(lane,), daemon=True).start()
    seen = {lane: [] for lane in range(4)}
    try:
        while True:
            for lane, item in channel.take():
                seen[lane].append(item)
    except Closed:
        pass
    assert all(items == list(range(200)) for items in seen.values())


def test_histogram_agrees_with_numpy_quantiles():
    values = np.random.default_rng(3).lognormal(-5, 1, 5000)
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    for q in (0.5, 0.95):
        np.testing.assert_allclose(histogram.quantile(q), np.quantile(values, q), rtol=0.02)
    np.testing.assert_allclose(histogram.total, values.sum(), rtol=1e-9)


def test_histogram_takes_extremes():
    histogram = Histogram()
    assert histogram.quantile(0.5) == 0
    histogram.add(0.0)
    histogram.add(1e9)
    assert histogram.count == 2


def test_timing_names_the_stage_that_stalls():
    timing = Timing()
    with timing.measure("encode"):
        time.sleep(0.03)
        assert set(timing.stalled(0.02)) == {"encode"}
        assert timing.stalled(10) == {}
    assert timing.stalled(0) == {}
    assert timing.summary()["encode"]["p50_ms"] > 25


def test_timing_shares_add_up():
    timing = Timing()
    timing.add("detect", 0.03)
    timing.add("encode", 0.01, count=2)
    shares = {k: v["share"] for k, v in timing.summary().items()}
    np.testing.assert_allclose([shares["detect"], shares["encode"]], [0.6, 0.4], atol=1e-6)


def test_workers_beside_each_other_pass_on_in_the_order_they_took():
    inlet, outlet, admitted = Channel(capacity=50), [], []
    for item in range(40):
        inlet.put(item)
    inlet.end()
    turns = OrderedWorkers(inlet, admitted.extend)
    seconds = np.random.default_rng(0).uniform(0, 0.01, 40)
    at_once, most = [0], [0]

    def work():
        while True:
            try:
                number, items = turns.take()
            except Closed:
                return
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
            time.sleep(seconds[number])
            at_once[0] -= 1
            with turns.turn(number):
                outlet.extend(items)

    workers = [threading.Thread(target=work, daemon=True) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(5)
    assert outlet == admitted == list(range(40))
    assert most[0] > 1


def test_time_of_the_networks_counts_once_where_they_overlap():
    timing = Timing()
    with timing.measure("write"):
        time.sleep(0.01)
    assert timing.networks_s == 0
    inside = threading.Event()

    def encode():
        with timing.measure("encode"):
            inside.set()
            time.sleep(0.05)

    thread = threading.Thread(target=encode)
    with timing.measure("detect"):
        thread.start()
        inside.wait(2)
    thread.join(5)
    total = timing.stages["detect"].total + timing.stages["encode"].total
    assert timing.stages["encode"].total <= timing.networks_s <= total
