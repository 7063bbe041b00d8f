"""An MQTT broker: events, retained counts, and what Home Assistant needs to show them."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tracker.core.address import Address
from tracker.errors import BackendMissingError, ConfigError, OutputError, first_line
from tracker.serve.targets import TIMEOUT_S, Events, without_user

if TYPE_CHECKING:
    from tracker.serve.hub import Hub

DISCOVERY = "homeassistant"
"""Topic below which Home Assistant looks for descriptions, by its default."""


class Broker:
    """Publishes below the topic of its address.

    `TOPIC/crossing` is an event as JSON; `TOPIC/SOURCE/LINE/DIRECTION` today's count and `TOPIC/counts` all of them as
    JSON, both retained; `TOPIC/status` is `online` or `offline`, retained, and `offline` the last will.

    Parameters
    ----------
    address : Address
        `mqtt://[USER:PASSWORD@]HOST[:1883]/TOPIC`, or `mqtts` for TLS (8883).
    hubs : sequence of Hub
        Of the streams; it may grow.

    Raises
    ------
    BackendMissingError
        paho-mqtt is not installed.
    ConfigError
        The address names no host or no topic.
    """

    def __init__(self, address: Address, hubs: Sequence[Hub]) -> None:
        try:
            from paho.mqtt import client as paho
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError:
            raise BackendMissingError(
                "--publish mqtt:// needs paho-mqtt, which is not installed; pip install 'deepsort-tracker[live]'"
            ) from None
        url, user = without_user(address)
        parts = urlsplit(url)
        self._topic = parts.path.strip("/")
        if not parts.hostname or not self._topic or re.search(r"[#+]", self._topic):
            raise ConfigError(f"--publish {address}; expected mqtt://HOST/TOPIC, a topic without # and +")
        secure = parts.scheme.lower() == "mqtts"
        self._where = (parts.hostname, parts.port or (8883 if secure else 1883))
        self._hubs = hubs
        self._told: dict[str, str] = {}
        self._described: set[str] = set()
        self._refused = ""
        self._connected, self._answered = threading.Event(), threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        if user is not None:
            self._client.username_pw_set(*user)
        if secure:
            self._client.tls_set()
        self._client.will_set(f"{self._topic}/status", "offline", qos=1, retain=True)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._started = False

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._refused = str(reason) if reason.is_failure else ""
        if not reason.is_failure:
            self._publish("status", "online", retain=True)
            self._connected.set()
        self._answered.set()

    def _on_disconnect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._connected.clear()
        self._answered.clear()
        self._told.clear()
        self._described.clear()

    def _connect(self) -> None:
        """Wait for a connection; the client's own thread keeps it and makes it again."""
        if self._connected.is_set():
            return
        host, port = self._where
        if not self._started:
            try:
                self._client.connect(host, port, keepalive=15)
            except (OSError, ValueError) as e:
                raise OutputError(f"{host}:{port} cannot be reached ({first_line(e)})") from None
            self._client.reconnect_delay_set(1, 10)
            self._client.loop_start()
            self._started = True
        self._answered.wait(TIMEOUT_S)
        if not self._connected.is_set():
            self._answered.clear()
            raise OutputError(f"{host}:{port} refuses ({self._refused})" if self._refused else f"{host}:{port} is away")

    def _publish(self, topic: str, text: str, *, retain: bool = False, whole: bool = False) -> Any:
        return self._client.publish(topic if whole else f"{self._topic}/{topic}", text, qos=1, retain=retain)

    def send(self, events: Events) -> None:
        """Publish events and wait until the broker has confirmed the last."""
        self._connect()
        for sent in [self._publish("crossing", json.dumps(e, ensure_ascii=False)) for e in events]:
            try:
                sent.wait_for_publish(TIMEOUT_S)
            except (RuntimeError, ValueError) as e:
                raise OutputError(f"the broker is away ({first_line(e)})") from None
            if not sent.is_published():
                raise OutputError(f"the broker did not confirm within {TIMEOUT_S:g} s")

    def refresh(self) -> None:
        """Publish counts that changed, and describe those that are new."""
        self._connect()
        told = [hub.counts() for hub in list(self._hubs)]
        self._retain(
            f"{self._topic}/counts", json.dumps([{k: c[k] for k in ("source", "day", "counts")} for c in told])
        )
        for counts in told:
            ways = Counter({(way["line"], way["direction"]): 0 for way in counts["hour"]})
            for row in counts["counts"]:
                ways[row["line"], row["direction"]] += row["count"]
            for (line, direction), count in ways.items():
                self._describe(counts["source"], line, direction)
                self._retain(f"{self._topic}/{_path(counts['source'], line, direction)}", str(count))

    def _retain(self, topic: str, text: str) -> None:
        if self._told.get(topic) != text:
            self._publish(topic, text, retain=True, whole=True)
            self._told[topic] = text

    def _describe(self, source: str, line: str, direction: str) -> None:
        """Tell Home Assistant of a sensor, once a connection."""
        path = _path(source, line, direction)
        if path in self._described:
            return
        self._described.add(path)
        unique = re.sub(r"[^A-Za-z0-9_-]", "_", f"tracker_{self._topic}_{path}")
        sensor = {
            "name": f"{line}: {direction}", "unique_id": unique, "state_topic": f"{self._topic}/{path}",
            "state_class": "total_increasing", "icon": "mdi:counter", "unit_of_measurement": "crossings",
            "availability_topic": f"{self._topic}/status",
            "device": {"identifiers": [f"tracker_{_word(source)}"], "name": source, "model": "deepsort-tracker"},
        }  # fmt: skip
        self._publish(f"{DISCOVERY}/sensor/{unique}/config", json.dumps(sensor), retain=True, whole=True)

    def close(self) -> None:
        """Say `offline` and leave."""
        if self._connected.is_set():
            self._publish("status", "offline", retain=True).wait_for_publish(1.0)
        self._client.disconnect()
        if self._started:
            self._client.loop_stop()


def _path(*names: str) -> str:
    return "/".join(_word(name) for name in names)


def _word(name: str) -> str:
    """A name as one level of a topic: no separator, no wildcard, nothing that is not printed."""
    return re.sub(r"[/#+\s\x00-\x1f\x7f]+", "_", name).strip("_") or "_"
