"""The clock: start times in any form, intervals along the day, daylight saving."""

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tracker.answers.ways import feed, make
from tracker.answers.clock import Clock, doubt, parse_interval, parse_start, start_in_name
from tracker.app.run_folder import RunFolder
from tracker.errors import ConfigError

PARIS = "2026-03-29T00:30 Europe/Paris"


def clock(text):
    return Clock(*parse_start(text))


@pytest.mark.parametrize("text, seconds", [("15min", 900), ("1h", 3600), ("30s", 30), ("1d", 86400), ("1.5 h", 5400)])
def test_intervals(text, seconds):
    assert parse_interval(text) == seconds


@pytest.mark.parametrize("text", ["", "15", "soon", "0min", "-1h", "2d", "0.5s", "1w", "1e3s"])
def test_intervals_that_are_none(text):
    with pytest.raises(ConfigError, match="expected a length from 1s to 1d"):
        parse_interval(text)


@pytest.mark.parametrize(
    "text",
    ["2026-11-27T08:00+01:00", "2026-11-27T07:00Z", "2026-11-27 08:00 Europe/Paris", "2026-11-27T08:00[Europe/Paris]"],
)
def test_one_moment_in_many_forms(text):
    assert parse_start(text)[0] == datetime(2026, 11, 27, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "noon",
        "2026-13-01T00:00",
        "2026-11-27T08:00 Mars/Base",
        "2026-11-27T08:00 Europe",
        "27.11.2026 08:00",
        "0001-01-01T00:00+14:00",
        "9999-12-31T23:59",
    ],
)
def test_start_times_that_are_none(text):
    with pytest.raises(ConfigError, match="expected such as 2026-11-27T08:00"):
        parse_start(text)


@pytest.mark.parametrize(
    "text, offered",
    [
        ("2026-03-29T02:30 Europe/Paris", "2026-03-29T03:30+02:00 Europe/Paris"),
        ("2026-03-08T02:00:01 America/New_York", "2026-03-08T03:00:01-04:00 America/New_York"),
        ("2026-10-04T02:10 Australia/Lord_Howe", "2026-10-04T02:40+11:00 Australia/Lord_Howe"),
    ],
)
def test_a_time_that_clocks_were_put_forward_over_is_refused(text, offered):
    with pytest.raises(ConfigError, match="which no clock showed") as told:
        parse_start(text)
    assert str(told.value).endswith(offered)
    assert doubt(offered) == ""
    assert parse_start(offered)[0].isoformat().startswith(offered.split()[0][:16])


@pytest.mark.parametrize(
    "text, first, second",
    [
        ("2026-10-25T02:30 Europe/Paris", "2026-10-25T02:30+02:00", "2026-10-25T02:30+01:00"),
        ("2026-11-01T01:59:59 America/New_York", "2026-11-01T01:59:59-04:00", "2026-11-01T01:59:59-05:00"),
    ],
)
def test_of_a_time_that_clocks_show_twice_the_first_is_taken_and_the_other_named(text, first, second):
    zone = text.split()[1]
    assert parse_start(text)[0].timestamp() == parse_start(first)[0].timestamp()
    told = Clock.told(text).doubt
    assert f"{first} {zone} is taken" in told and f"--start-time {second} {zone} is the other" in told
    assert Clock.told(f"{second} {zone}").doubt == ""


@pytest.mark.parametrize(
    "text", ["2026-10-25T03:00 Europe/Paris", "2026-03-29T03:00 Europe/Paris", "2026-10-25T02:30Z"]
)
def test_other_times_are_beyond_doubt(text):
    assert doubt(text) == ""


def test_local_time_is_doubted_as_well(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Paris")
    time.tzset()
    try:
        assert "2026-10-25T02:30+02:00 is taken" in doubt("2026-10-25T02:30") and doubt("2026-10-25T03:30") == ""
        with pytest.raises(ConfigError, match=r"expected such as 2026-03-29T03:30\+02:00"):
            parse_start("2026-03-29T02:30")
    finally:
        monkeypatch.undo()
        time.tzset()


def test_without_a_clock_intervals_count_from_the_first_frame():
    assert list(Clock().intervals(0.0, 1000.0, 900.0)) == [(0.0, 900.0), (900.0, 1800.0)]
    assert Clock().text(3.0) == ""


def test_with_one_they_follow_the_hour():
    found = list(clock("2026-11-27T08:10+01:00").intervals(0.0, 1800.0, 900.0))
    assert found == [(-600.0, 300.0), (300.0, 1200.0), (1200.0, 2100.0)]


def test_the_last_one_of_a_day_ends_at_midnight():
    it = clock("2026-11-27T23:50+01:00")
    assert it.interval(301.0, 420.0) == (300.0, 600.0) and it.interval(601.0, 420.0) == (600.0, 1020.0)


def test_spring_forward_skips_an_hour_and_autumn_back_has_one_twice():
    spring = clock(PARIS)
    starts = [spring.text(s, 0) for s, _ in spring.intervals(0.0, 3 * 3600.0, 3600.0)]
    assert starts == [
        "2026-03-29T00:00:00+01:00",
        "2026-03-29T01:00:00+01:00",
        "2026-03-29T03:00:00+02:00",
        "2026-03-29T04:00:00+02:00",
    ]
    autumn = clock("2026-10-25T01:30 Europe/Paris")
    starts = [autumn.text(s, 0) for s, _ in autumn.intervals(0.0, 3 * 3600.0, 3600.0)]
    assert starts == [
        "2026-10-25T01:00:00+02:00",
        "2026-10-25T02:00:00+02:00",
        "2026-10-25T02:00:00+01:00",
        "2026-10-25T03:00:00+01:00",
    ]


def test_a_day_with_a_change_is_23_or_25_hours_long():
    for text, hours in ((PARIS, 23), ("2026-10-25T00:30 Europe/Paris", 25), ("2026-07-01T00:30 Europe/Paris", 24)):
        start, end = clock(text).interval(0.0, 86400.0)
        assert (end - start) / 3600 == hours


def test_local_time_follows_the_machine(monkeypatch):
    import time

    monkeypatch.setenv("TZ", "Europe/Paris")
    time.tzset()
    try:
        it = clock("2026-03-29T00:30")
        assert it.text(0.0, 0) == "2026-03-29T00:30:00+01:00" and it.text(7200.0, 0) == "2026-03-29T03:30:00+02:00"
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    "name, told",
    [
        ("VID_20261127_080102.mp4", "2026-11-27T08:01:02"),
        ("2026-11-27T08-01-02.mkv", "2026-11-27T08:01:02"),
        ("cam3 2026-11-27 08.01.mp4", "2026-11-27T08:01:00"),
        ("gate_20261127080102_001.avi", "2026-11-27T08:01:02"),
        ("clip.mp4", None),
        ("highway_720p.mp4", None),
        ("20261127.mp4", None),
        ("MOT16-04.mp4", None),
        ("12020101010101010.mp4", None),
    ],
)
def test_names_that_tell_a_time(name, told):
    found = start_in_name(name)
    assert (found.replace(tzinfo=None).isoformat() if found else None) == told


def test_counts_by_hour_of_the_day():
    it = clock("2026-11-27T08:59:58+01:00")
    answers = make(lines=("gate=200,180,440,180",), clock=it, interval_s=3600)
    feed(answers, [lambda t: (300, 100 + 2 * t), lambda t: (320, 50 + 2 * t)], 120)
    hours = [(hour, count) for hour, way, count in answers.counts.hour_rows() if way[1] == "left to right" and count]
    assert hours == [(8, 1), (9, 1)]
    rows = [(interval, count) for interval, way, count in answers.counts.rows() if way[1] == "left to right"]
    assert rows == [((0.0, 2.0), 1), ((2.0, pytest.approx(4.76)), 1)]


def test_the_zone_is_that_of_the_start():
    assert clock("2026-11-27T08:00 Asia/Tokyo").zone == ZoneInfo("Asia/Tokyo")


DAY = datetime(2026, 11, 27, tzinfo=UTC)
STARTS = st.integers(0, 86_400_000_000 - 1).map(lambda us: DAY + timedelta(microseconds=us))


@settings(deadline=None)
@given(STARTS, st.lists(st.floats(0, 5000), min_size=2, max_size=20))
def test_every_moment_of_an_interval_names_it_alike(start, moments):
    """Counts are kept by these numbers: one that differs in its last bit is another interval, and never written."""
    clock = Clock(start, UTC, "wall clock")
    told = set(clock.intervals(0.0, 5000.0, 900.0))
    for moment in (*moments, *(np.round(m, 3) for m in moments)):
        interval = clock.interval(moment, 900.0)
        assert interval in told and interval[0] <= moment + 1e-6 and moment - 1e-6 <= interval[1]


def test_what_is_written_of_the_start_reads_back_as_the_same_clock():
    """The wall clock of a stream has microseconds; `summary.json` holds milliseconds."""
    live = Clock(datetime(2026, 11, 27, 7, 59, 59, 123987, UTC))
    again = Clock(*parse_start(live.text(0.0)))
    for time_s in (0.0, 0.876, 0.877, 12.3455, 86400.0005):
        assert again.at(time_s) == live.at(time_s) and again.interval(time_s, 60.0) == live.interval(time_s, 60.0)


def test_local_time_is_read_back_with_its_daylight_saving(tmp_path, monkeypatch):
    """A stream's clock is this machine's: the day after, it has gone forward."""
    try:
        monkeypatch.setenv("TZ", "Europe/Paris")
        time.tzset()
        live = Clock(datetime(2026, 3, 28, 12, 0, tzinfo=UTC))
        again = RunFolder(tmp_path, {"start_time": live.text(0.0), "time_zone": "local"}, (640, 360)).clock(None)
        assert again.text(86400.0) == live.text(86400.0) == "2026-03-29T14:00:00.000+02:00"
    finally:
        monkeypatch.undo()
        time.tzset()
