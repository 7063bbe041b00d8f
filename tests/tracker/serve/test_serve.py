"""The live page's server: what it answers, to whom, and what it does to the pipeline that feeds it."""

import base64
import csv
import json
import socket
import time
import urllib.error
import urllib.request
from datetime import datetime, timedelta

import cv2
import numpy as np
import pytest

from tests.scenes import SIZE, decodable, image
from tests.tracker.answers import ways
from tracker.answers.events import Crossing, Events
from tracker.answers.scene import SceneOptions
from tracker.answers.writer import AnswerWriter
from tracker.app.outputs import StreamOutput
from tracker.core.interfaces import SourceInfo
from tracker.core.types import Frame, Tracks
from tracker.errors import ConfigError, OutputError
from tracker.serve.hub import Facts, Hub

pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")

from tracker.serve.server import PASSWORD, Server

INFO = SourceInfo("road", SIZE, 10.0, None, live=True)
EVIL = '<img src=x onerror="alert(1)">'


class Clock:
    """A wall clock that a test moves."""

    def __init__(self):
        self.now = datetime(2026, 11, 27, 23, 50).astimezone()

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def hub(tmp_path, clock):
    made = Hub(
        "road", INFO, tmp_path, ways=[("gate", "in"), ("gate", "out")], facts=lambda: Facts(3, 1, None), now=clock
    )
    yield made
    made.close()


@pytest.fixture
def server(hub):
    made = Server("0", [hub])
    yield made
    made.close()


def crossing(line="gate", direction="in", name="car", number=1):
    return Crossing(1.25, line, direction, name, number, 30.0, 60.0, None)


def feed(hub, index, *crossings):
    """One frame, drawn if the hub asks for it."""
    picture = image(1 + index % 30) if hub.draws else None
    hub.view(Frame(index, index / 10, None, SIZE), Tracks.empty(), picture, Events(list(crossings)))


def get(server, path, body=None, **headers):
    request = urllib.request.Request(server.url + path, body, headers)  # noqa: S310 (our own server)
    return urllib.request.urlopen(request, timeout=60)  # noqa: S310


def refused(call):
    with pytest.raises(urllib.error.HTTPError) as error:
        call()
    error.value.close()
    return error.value.code


def test_counts_and_health(hub, server, clock):
    feed(hub, 1, crossing(), crossing(number=2), crossing(direction="out", name=EVIL))
    found = json.load(get(server, "counts.json"))["sources"][0]
    assert [(r["direction"], r["class"], r["count"]) for r in found["counts"]] == [("in", "car", 2), ("out", EVIL, 1)]
    assert [(w["direction"], sum(w["counts"]), w["counts"][-1]) for w in found["hour"]] == [("in", 2, 2), ("out", 1, 1)]
    assert [e["id"] for e in found["latest"]] == [1, 2, 1]
    health = json.load(get(server, "health.json"))["sources"][0]
    assert (health["frames"], health["dropped"], health["reconnects"], health["recording"]) == (1, 3, 1, False)
    clock.now += timedelta(minutes=20)  # past midnight: today is another day, the last hour is the same one
    found = json.load(get(server, "counts.json"))["sources"][0]
    assert found["counts"] == [] and found["day"] == "2026-11-28"
    assert [w["counts"][-21] for w in found["hour"]] == [2, 1]


def test_counts_go_on_after_a_restart_of_the_same_day(hub, tmp_path, clock):
    feed(hub, 1, crossing())
    hub.close()
    again = Hub("road", INFO, tmp_path, now=clock)
    feed(again, 1, crossing())
    assert again.counts()["counts"][0]["count"] == 2
    again.close()
    clock.now += timedelta(days=1)
    assert Hub("road", INFO, tmp_path, now=clock).counts()["counts"] == []


def test_what_only_the_end_of_a_stream_settles_is_counted_too(hub, tmp_path):
    """The object is a little beyond the line when the camera goes: whether it crossed is decided then."""
    told = []
    size = (400, 300)
    scene = SceneOptions(lines=("gate=0,100,400,100:in/out",)).scene(size)
    output = StreamOutput(
        tmp_path / "run", INFO, ("car",), video=False, show=False, viewers=[hub],
        answers=lambda: AnswerWriter(tmp_path / "run", scene, size, ("car",)),
    )  # fmt: skip
    (tmp_path / "run").mkdir()
    hub.listen(told.append)
    for index in range(1, 21):
        frame, tracks = Frame(index, index / 10, None, size), ways.tracks([(1, 200, 83 + 1.5 * index, 80, 0.9, 0)])
        events = output.answer(frame, tracks)
        output.write(frame, tracks, None)
        output.show(frame, tracks, None, events)
    assert told == []
    output.close()
    rows = list(csv.DictReader((tmp_path / "run" / "counts.csv").read_text().splitlines()))
    assert sum(int(r["count"]) for r in rows) == sum(r["count"] for r in hub.counts()["counts"]) == len(told) == 1


def test_metrics(hub, server):
    feed(hub, 1, crossing(line='a"b\\c\nd'))
    text = get(server, "metrics").read().decode()
    assert 'tracker_frames_total{source="road"} 1.0' in text
    assert r'tracker_crossings_today{class="car",direction="in",line="a\"b\\c\nd",source="road"} 1.0' in text


def test_nothing_is_drawn_while_nobody_looks(hub, server):
    assert not hub.draws
    stream = get(server, "stream.mjpg")
    _wait(lambda: hub.draws)
    feed(hub, 1)
    assert not hub.draws  # ten pictures a second are enough
    picture = _part(stream)
    assert cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR).shape == (SIZE[1], SIZE[0], 3)
    assert hub.health()["viewers"] == 1
    stream.close()


def _part(stream):
    assert stream.readline() == b"--picture\r\n"
    headers = dict(line.decode().strip().split(": ") for line in iter(stream.readline, b"\r\n"))
    assert headers["Content-Type"] == "image/jpeg"
    return stream.read(int(headers["Content-Length"]))


def test_a_viewer_that_does_not_read_stops_nothing(hub, server):
    """Megabytes of pictures for a viewer who reads none: each frame is taken at once all the same."""
    stream = get(server, "stream.mjpg")
    _wait(lambda: hub.draws)
    noise = np.random.default_rng(0).integers(0, 255, (720, 960, 3), np.uint8)
    slowest = 0.0
    for index in range(40):
        started = time.perf_counter()
        hub.view(Frame(index, index / 10, None, SIZE), Tracks.empty(), noise, Events())
        slowest = max(slowest, time.perf_counter() - started)
        time.sleep(0.01)
    assert slowest < 5.0  # it would wait for ever
    stream.close()


def test_snapshot(hub, server):
    assert refused(lambda: get(server, "snapshot.jpg?source=7")) == 404
    import threading

    running = threading.Event()

    def run():
        index = 1
        while not running.is_set():
            feed(hub, index)
            index += 1
            time.sleep(0.02)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert get(server, "snapshot.jpg").read()[:3] == b"\xff\xd8\xff"
    finally:
        running.set()
        thread.join()


def test_events_arrive_as_they_happen(hub, server):
    stream = get(server, "events")
    assert stream.readline() == b": still here\n"
    stream.readline()
    feed(hub, 1, crossing(name=EVIL))
    assert stream.readline() == b"event: crossing\n"
    event = json.loads(stream.readline().removeprefix(b"data: "))
    assert (event["line"], event["class"], event["source"]) == ("gate", EVIL, "road")
    stream.close()


def test_recording(hub, server, tmp_path):
    def post(on, **headers):
        return get(server, "recording", json.dumps({"on": on}).encode(), **headers)

    assert refused(lambda: post(True, Origin="http://evil.example")) == 403
    assert refused(lambda: post("yes")) == 400
    assert json.load(post(True)) == {"recording": True}
    for index in range(1, 8):
        feed(hub, index)
    assert json.load(post(False, Origin=server.url.rstrip("/"))) == {"recording": False}
    feed(hub, 8)
    feed(hub, 9)
    (found,) = (tmp_path / "recordings").iterdir()
    assert decodable(found) == 7
    assert not hub.draws


def test_the_page_may_load_what_is_its_own_and_nothing_else(server):
    page = get(server, "")
    policy = page.headers["Content-Security-Policy"]
    assert (
        "default-src 'none'" in policy
        and "'unsafe-inline'" not in policy
        and page.headers["Cache-Control"] == "no-store"
    )
    text = page.read().decode()
    assert (
        "<script>" not in text and "style=" not in text and " on" not in text.replace(" on an", "").replace(" one", "")
    )
    assert get(server, "static/page.js").status == get(server, "static/page.css").status == 200
    assert (
        refused(lambda: get(server, "static/../page.py"))
        == refused(lambda: get(server, "static/%2e%2e/page.py"))
        == 404
    )


def test_without_a_password_only_this_machine_by_its_own_name(server):
    assert get(server, "health.json", Host="localhost:80").status == 200
    assert refused(lambda: get(server, "health.json", Host="evil.example")) == 403


def test_requests_that_nobody_makes_in_good_faith(hub, server):
    """Endless bodies, an origin and a number that no parser takes, deep JSON: each is refused."""
    for body, code in ((b"x" * 50_000, 413), (b"[" * 990, 400), (b"", 400), (b"\xff", 400)):
        assert refused(lambda body=body: get(server, "recording", body)) == code
    assert refused(lambda: get(server, "recording", b'{"on": true}', Origin="http://[")) == 403
    for number in ("9" * 6000, "-1", "0x0", "%D9%A0"):
        assert refused(lambda number=number: get(server, f"snapshot.jpg?source={number}")) == 404
    assert not hub.recording


def test_with_a_password(hub, monkeypatch):
    monkeypatch.setenv(PASSWORD, "sésame")
    server = Server("127.0.0.1:0", [hub])
    try:
        assert refused(lambda: get(server, "counts.json")) == 401
        assert refused(lambda: get(server, "counts.json", Authorization="Bearer wrong")) == 401
        assert refused(lambda: get(server, "static/page.js", Authorization="Basic ???")) == 401
        basic = base64.b64encode("me:sésame".encode()).decode()
        assert get(server, "counts.json", Authorization=f"Basic {basic}", Host="gate.example").status == 200
    finally:
        server.close()


def test_addresses(hub, monkeypatch):
    monkeypatch.delenv(PASSWORD, raising=False)
    with pytest.raises(ConfigError, match="expected PORT or HOST:PORT"):
        Server("web", [hub])
    with pytest.raises(ConfigError, match=f"others could look; set {PASSWORD}"):
        Server("0.0.0.0:0", [hub])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OutputError, match=r"cannot be used .*choose another port"):
            Server(str(taken.getsockname()[1]), [hub])


def _wait(done):
    end = time.monotonic() + 20
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)
