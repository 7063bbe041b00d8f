"""Crossings sent to where they are used: an MQTT broker, a web hook, a file of JSON lines."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tracker.core.address import Address, shown
from tracker.errors import ConfigError, TrackerError, first_line
from tracker.serve.outbox import Outbox
from tracker.serve.targets import Hook, Lines, Target

if TYPE_CHECKING:
    from tracker.serve.hub import Hub

BATCH = 100
"""Events in one request or between two confirmations."""
WAIT_S = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Pauses before another try; the last one for all further ones."""
FLUSH_S = 3.0
"""How long the end of a run waits for what is not delivered yet; what is left is delivered by the next run."""


def open_target(text: str, hubs: Sequence[Hub]) -> Target:
    """What `--publish` names: `mqtt[s]://[USER:PASSWORD@]HOST[:PORT]/TOPIC`, `http[s]://...`, `jsonl:FILE`, `jsonl:-`.

    Parameters
    ----------
    hubs : sequence of Hub
        Of the streams, for those that tell counts, too; it may grow.

    Raises
    ------
    ConfigError
        None of these.
    BackendMissingError, OutputError
        A package is not installed, or the file cannot be written.
    """
    kind, _, rest = text.partition(":")
    if kind.lower() in ("mqtt", "mqtts"):
        from tracker.serve.mqtt import Broker

        return Broker(Address(text), hubs)
    if kind.lower() in ("http", "https") and rest.strip("/"):
        return Hook(Address(text))
    if kind.lower() == "jsonl" and rest:
        return Lines(rest)
    raise ConfigError(
        f"--publish {shown(text)}; expected mqtt://HOST/TOPIC, https://HOST/PATH, jsonl:FILE, or jsonl:- for the "
        "standard output"
    )


class Publisher:
    """Takes crossings from the pipeline into an outbox, and delivers them from a thread of its own.

    Parameters
    ----------
    text : str
        Where to; see `open_target`.
    target : Target
        Who is given the events.
    outbox : Outbox
        Where they wait.
    say : Callable
        Is told when delivery fails, when it works again, and of events that were lost.
    """

    def __init__(self, text: str, target: Target, outbox: Outbox, say: Callable[[str], None]) -> None:
        # The path of a chat's hook is its password.
        self._name = Address(text).host if text.lower().startswith("http") else shown(text)
        self._target, self._outbox, self._say = target, outbox, say
        self._ending = threading.Event()
        self._failing, self._told_dropped = "", 0
        self.delivered = 0
        self._thread = threading.Thread(target=self._work, name="publish", daemon=True)
        self._thread.start()

    def take(self, event: dict[str, Any]) -> None:
        """Queue an event; never waits for the network."""
        self._outbox.put(event | {"event_id": uuid4().hex})

    @property
    def waiting(self) -> int:
        """Events that are not delivered."""
        return len(self._outbox)

    def summary(self) -> dict[str, Any]:
        """What `summary.json` tells: how many events were delivered, were lost, and wait in which file."""
        waiting = self.waiting
        found = {"target": self._name, "delivered": self.delivered, "lost": self._outbox.dropped, "waiting": waiting}
        return found | ({"waiting_in": str(self._outbox.path)} if waiting else {})

    def _work(self) -> None:
        tries = 0
        while not (self._ending.is_set() and (self._failing or self._outbox.error or not len(self._outbox))):
            self._outbox.changed.clear()
            if self._deliver():
                tries = 0
                if (self._outbox.error or not len(self._outbox)) and not self._ending.is_set():
                    self._outbox.changed.wait(1.0)
            else:
                self._ending.wait(WAIT_S[min(tries, len(WAIT_S) - 1)])
                tries += 1
            self._tell_dropped()

    def _deliver(self) -> bool:
        """Send what waits longest; False where that was not confirmed."""
        rows = self._outbox.first(BATCH)
        try:
            if rows:
                self._target.send([event for _, event in rows])
                self._outbox.delivered(rows[-1][0])
                self.delivered += len(rows)
            self._target.refresh()
        except (TrackerError, OSError, ValueError) as e:
            if not self._failing:
                self._failing = first_line(e)
                self._say(f"--publish {self._name}: {self._failing}; events wait on disk until it works again")
            return False
        if self._failing:
            self._say(f"--publish {self._name}: works again; {len(self._outbox)} more events waited")
            self._failing = ""
        return True

    def _tell_dropped(self) -> None:
        if self._outbox.dropped > self._told_dropped:
            self._told_dropped = self._outbox.dropped
            why = self._outbox.error or "no room for more"
            self._say(f"--publish {self._name}: {self._told_dropped} events were lost so far: {why}")

    def close(self) -> None:
        """Deliver what can be delivered soon; the rest stays on disk for the next run."""
        self._ending.set()
        self._outbox.changed.set()
        self._thread.join(FLUSH_S)
        if left := len(self._outbox):
            self._say(f"--publish {self._name}: {left} events wait in {self._outbox.path} for the next run")
        if not self._thread.is_alive():
            with suppress(Exception):
                self._target.close()
        self._outbox.close()


def outbox_name(text: str) -> str:
    """A file name for the outbox of a target, without what is secret in its address."""
    return f"outbox-{hashlib.sha256(shown(text).encode()).hexdigest()[:10]}.db"
