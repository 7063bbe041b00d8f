"""Events on their way to brokers, hooks and files: in order, none lost while nobody answers."""

import json
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.scenes import SIZE
from tracker.answers.events import Crossing, Events
from tracker.core.interfaces import SourceInfo
from tracker.core.types import Frame, Tracks
from tracker.errors import BackendMissingError, ConfigError, OutputError
from tracker.serve import mqtt, publish
from tracker.serve.hub import Hub
from tracker.serve.outbox import Outbox
from tracker.serve.publish import Publisher, open_target, outbox_name


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(publish, "WAIT_S", (0.05,))
    monkeypatch.setattr(mqtt, "TIMEOUT_S", 1.0)


@contextmanager
def publisher(text, outbox, hubs=()):
    said = []
    made = Publisher(text, open_target(text, hubs), outbox, said.append)
    made.said = said
    try:
        yield made
    finally:
        made.close()


def numbered(first, last):
    return [
        {"event": "crossing", "number": n, "line": "gate", "direction": "in", "class": "car"}
        for n in range(first, last + 1)
    ]


def test_the_outbox_keeps_order_over_restarts_and_tells_what_it_dropped(tmp_path):
    box = Outbox(tmp_path / "box.db", room=5)
    for event in numbered(1, 7):
        box.put(event)
    assert (len(box), box.dropped) == (5, 2)
    box.delivered(box.first(2)[-1][0])
    box.close()
    again = Outbox(tmp_path / "box.db")
    assert [e["number"] for _, e in again.first(10)] == [5, 6, 7] and len(again) == 3
    again.delivered(again.first(10)[-1][0])
    again.close()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "box.db").write_text("no queue, whatever its name")
    with pytest.raises(OutputError, match="cannot hold events that wait"):
        Outbox(tmp_path / "box.db")


def test_damage_that_sqlite_cannot_put_into_words_is_one_line(tmp_path):
    path = tmp_path / "box.db"
    with closing(sqlite3.connect(path)) as base:
        base.execute("CREATE TABLE outbox (number INTEGER PRIMARY KEY, event TEXT)")
    path.write_bytes(path.read_bytes().replace(b"tableoutbox", b"tableoutb\xccx").replace(b"PRIMARY", b"PR MARY"))
    with pytest.raises(OutputError, match="cannot hold events that wait"):
        Outbox(path)


def test_lines(tmp_path, capsys):
    with publisher(f"jsonl:{tmp_path / 'events.jsonl'}", Outbox(tmp_path / "a.db")) as lines:
        for event in numbered(1, 250):
            lines.take(event)
    found = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [e["number"] for e in found] == list(range(1, 251)) and len({e["event_id"] for e in found}) == 250
    with publisher("jsonl:-", Outbox(tmp_path / "b.db")) as lines:
        lines.take(numbered(1, 1)[0])
    assert json.loads(capsys.readouterr().out)["number"] == 1


class Listener(BaseHTTPRequestHandler):
    """A hook that can be told to refuse."""

    got: list = []  # noqa: RUF012
    answer = 200

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.answer == 200:
            self.server.got.append((self.headers.get("Authorization"), body))
        self.send_response(self.server.answer)
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def hook():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    server.got, server.answer = [], 200
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_hook_that_refuses_for_a_while_loses_nothing(tmp_path, hook):
    hook.answer = 503
    address = f"http://me:s%C3%A9same@127.0.0.1:{hook.server_port}/hook"
    with publisher(address, Outbox(tmp_path / "a.db")) as sender:
        for event in numbered(1, 120):
            sender.take(event)
        _wait(lambda: sender.said)
        assert "answered 503" in sender.said[0] and "same" not in sender.said[0]
        hook.answer = 200
        _wait(lambda: sender.delivered == 120)
    assert [e["number"] for _, body in hook.got for e in body] == list(range(1, 121))
    assert {user for user, _ in hook.got} == {"Basic bWU6c8Opc2FtZQ=="}
    assert any("works again" in line for line in sender.said)


def test_redirects_are_not_followed(tmp_path, hook):
    hook.answer = 302
    with publisher(f"http://127.0.0.1:{hook.server_port}/hook", Outbox(tmp_path / "a.db")) as sender:
        sender.take(numbered(1, 1)[0])
        _wait(lambda: sender.said)
    assert "answered 302" in sender.said[0] and "1 events wait in" in sender.said[-1]


def test_what_a_run_could_not_deliver_the_next_one_does(tmp_path, hook):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        away = f"http://127.0.0.1:{free.getsockname()[1]}/hook"
    with publisher(away, Outbox(tmp_path / "a.db")) as sender:
        for event in numbered(1, 3):
            sender.take(event)
        _wait(lambda: sender.said)
    told = sender.summary()
    where = str(tmp_path / "a.db")
    assert told == {"target": away[:-5], "delivered": 0, "lost": 0, "waiting": 3, "waiting_in": where}
    assert Path(where).is_file()
    with publisher(f"http://127.0.0.1:{hook.server_port}/hook", Outbox(tmp_path / "a.db")) as sender:
        sender.take(numbered(4, 4)[0])
        _wait(lambda: sender.delivered == 4)
    assert sender.summary() | {"target": ""} == {"target": "", "delivered": 4, "lost": 0, "waiting": 0}
    assert [e["number"] for _, body in hook.got for e in body] == [1, 2, 3, 4]


def test_what_is_no_target(monkeypatch):
    for text in ("ftp://host/x", "jsonl:", "https://", "gate"):
        with pytest.raises(ConfigError, match="expected mqtt://HOST/TOPIC, https://HOST/PATH, jsonl:FILE"):
            open_target(text, [])
    with pytest.raises(ConfigError, match="a topic without # and"):
        open_target("mqtt://host/", [])
    with pytest.raises(OutputError, match="cannot be written"):
        open_target("jsonl:/nowhere/at/all.jsonl", [])
    assert outbox_name("mqtt://me:secret@host/a") == outbox_name("mqtt://host/a")
    monkeypatch.setitem(__import__("sys").modules, "paho.mqtt", None)
    with pytest.raises(BackendMissingError, match="needs paho-mqtt, which is not installed; pip install"):
        open_target("mqtt://host/a", [])


@pytest.mark.parametrize("kind", ["mqtt", "mqtts", "http", "https"])
@pytest.mark.parametrize("password", ["se/cret", "se?cret", "se#cret", "12/cret", "12#cret", "se/cr@et", "[cret"])
def test_an_address_that_cannot_be_taken_apart_shows_no_part_of_its_password(kind, password):
    with pytest.raises(ConfigError, match=r"cannot be taken apart.*%2F") as error:
        open_target(f"{kind}://me:{password}@host/a", [])
    assert "cret" not in str(error.value) and "12" not in str(error.value)


def test_a_hook_s_address_is_in_no_message(tmp_path):
    target = open_target("http://127.0.0.1:9/a b?token=secret", [])
    with pytest.raises(OutputError) as error:
        target.send([{"number": 1}])
    assert "secret" not in str(error.value)


# ---- a real broker --------------------------------------------------------------------------------

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")


@pytest.fixture
def broker(tmp_path):
    """Starts and stops mosquitto on one free port of loopback; its first start is the test's."""
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = []

    def start():
        running.append(
            subprocess.Popen([MOSQUITTO, "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        )

    def stop():
        running[-1].kill()
        running.pop().wait()

    yield port, start, stop
    if running:
        stop()


def listen(port, topics="gate/#"):
    """A client that collects messages: [(topic, text, retained)]."""
    from paho.mqtt import client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    got = []
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.on_connect = lambda c, *_: c.subscribe([(t, 1) for t in (topics, "homeassistant/#")])
    client.on_message = lambda c, _, m: got.append((m.topic, m.payload.decode(), m.retain))
    for _ in range(100):
        try:
            client.connect("127.0.0.1", port)
            break
        except OSError:
            time.sleep(0.05)
    client.loop_start()
    return client, got


def test_a_broker_that_goes_away_loses_nothing(tmp_path, broker):
    port, start, stop = broker
    hub = Hub(
        "road", SourceInfo("road", SIZE, 10.0, None, True), None, ways=[("north/gate", "in"), ("north/gate", "out")]
    )
    with publisher(f"mqtt://127.0.0.1:{port}/gate", Outbox(tmp_path / "a.db"), [hub]) as sender:
        hub.listen(sender.take)
        _cross(hub, 1)
        _wait(lambda: sender.said)
        assert "cannot be reached" in sender.said[0]
        start()
        _wait(lambda: sender.delivered == 1)
        client, got = listen(port)
        _wait(lambda: ("gate/road/north_gate/in", "1", True) in got)
        assert ("gate/status", "online", True) in got and ("gate/road/north_gate/out", "0", True) in got
        sensors = [json.loads(text) for topic, text, _ in got if topic.startswith("homeassistant/sensor/")]
        assert {s["state_topic"] for s in sensors} == {"gate/road/north_gate/in", "gate/road/north_gate/out"}
        assert len({s["unique_id"] for s in sensors}) == 2
        stop()
        client.loop_stop()
        for number in range(2, 8):
            _cross(hub, number)
        _wait(lambda: len(sender.said) >= 3)
        start()
        client, got = listen(port)
        _wait(lambda: sender.delivered == 7)
        _wait(lambda: ("gate/road/north_gate/in", "7") in [m[:2] for m in got])
    _wait(lambda: ("gate/status", "offline") in [m[:2] for m in got])
    client.loop_stop()


def test_a_broker_that_refuses_is_told_without_the_password(tmp_path):
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed")
    server, port = _refusing(tmp_path / "m.conf")
    try:
        with publisher(f"mqtt://me:sesame@127.0.0.1:{port}/gate", Outbox(tmp_path / "a.db")) as sender:
            sender.take(numbered(1, 1)[0])
            _wait(lambda: any("refuses" in line for line in sender.said))
        refusals = [line for line in sender.said if "refuses" in line]
        assert "Not authorized" in refusals[0] and not any("sesame" in line for line in sender.said)
    finally:
        server.kill()
        server.wait()


def test_the_last_will_is_said_for_a_run_that_dies(broker):
    port, start, _ = broker
    start()
    client, got = listen(port)
    connect = "from tracker.serve.publish import open_target; open_target(__import__('sys').argv[1], []).refresh()"
    run = subprocess.Popen([sys.executable, "-c", f"{connect}; input()", f"mqtt://127.0.0.1:{port}/gate"], stdin=-1)
    _wait(lambda: ("gate/status", "online") in [m[:2] for m in got])
    run.kill()
    run.wait()
    run.stdin.close()
    _wait(lambda: ("gate/status", "offline") in [m[:2] for m in got])
    client.loop_stop()


def _cross(hub, number):
    events = Events([Crossing(number / 10, "north/gate", "in", "car", number, 1.0, 2.0, None)])
    hub.view(Frame(number, number / 10, None, SIZE), Tracks.empty(), None, events)


def _refusing(configuration):
    """A broker that lets nobody in, and its port; another process may take the free port first."""
    while True:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        configuration.write_text(f"listener {port} 127.0.0.1\nallow_anonymous false\n")
        server = subprocess.Popen([MOSQUITTO, "-c", str(configuration)], stderr=subprocess.DEVNULL)
        while server.poll() is None:
            if _listens(port):
                return server, port
            time.sleep(0.02)


def _listens(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _wait(done, seconds=40):
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.02)
