"""Where events go: a file of JSON lines, a web hook, and what all targets have in common."""

from __future__ import annotations

import json
import sys
from base64 import b64encode
from http.client import HTTPException
from typing import IO, Any, Protocol
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from tracker.core.address import Address
from tracker.errors import ConfigError, OutputError

TIMEOUT_S = 10.0

Events = list[dict[str, Any]]


class Target(Protocol):
    """Where events go. Used by one thread."""

    def send(self, events: Events) -> None:
        """Deliver events in order; raises TrackerError or OSError where that was not confirmed: they come again."""

    def refresh(self) -> None:
        """Called about every second: tell what is told besides events; raises as `send` does."""

    def close(self) -> None:
        """Say goodbye."""


class Lines:
    """JSON lines, appended to a file or written to the standard output."""

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            self._file: IO[str] = sys.stdout if path == "-" else open(path, "a", encoding="utf-8")  # noqa: SIM115
        except OSError as e:
            raise OutputError(f"--publish jsonl:{path}: cannot be written ({e.strerror})") from None

    def send(self, events: Events) -> None:
        """One line an event."""
        self._file.write("".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events))
        self._file.flush()

    def refresh(self) -> None:
        """There is nothing besides events."""

    def close(self) -> None:
        """Close the file; the standard output stays open."""
        if self._path != "-":
            self._file.close()


class Hook:
    """POST requests with a JSON array of events; each has an `event_id`, so that repeated ones can be told."""

    def __init__(self, address: Address) -> None:
        self._address = address
        without_user(address)  # what is wrong with it is told at once
        self._opener = build_opener(_NoRedirect())

    def send(self, events: Events) -> None:
        """One request; anything but a 2xx answer raises."""
        url, user = without_user(self._address)
        headers = {"Content-Type": "application/json", "User-Agent": "deepsort-tracker"}
        if user:
            headers["Authorization"] = "Basic " + b64encode(":".join(user).encode()).decode()
        body = json.dumps(events, ensure_ascii=False).encode()
        try:
            with self._opener.open(Request(url, body, headers), timeout=TIMEOUT_S) as answer:  # noqa: S310 (http alone)
                if not 200 <= answer.status < 300:
                    raise OutputError(f"answered {answer.status}")
        except HTTPError as e:
            raise OutputError(f"answered {e.code} {e.reason}") from None
        except HTTPException as e:  # its words may hold the address
            raise OutputError(f"no request or no answer that is HTTP ({type(e).__name__})") from None

    def refresh(self) -> None:
        """There is nothing besides events."""

    def close(self) -> None:
        """Nothing is kept open."""


def without_user(address: Address) -> tuple[str, tuple[str, str] | None]:
    """An address without its user part, and user and password, decoded.

    Raises
    ------
    ConfigError
        It cannot be told where the password ends, or host and port are none.
    """
    try:
        parts = urlsplit(address.connect())
        if "@" in parts.path + parts.query + parts.fragment or (parts.port or 1) < 1:
            raise ValueError
    except ValueError:  # its own words would hold a part of the password
        raise ConfigError(
            f"--publish {address}: cannot be taken apart; expected USER:PASSWORD@HOST:PORT before the path, and in the "
            "password %2F for /, %40 for @, %3F for ? and %23 for #, or {NAME} for a variable of the environment"
        ) from None
    user = (unquote(parts.username), unquote(parts.password or "")) if parts.username is not None else None
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=host)), user


class _NoRedirect(HTTPRedirectHandler):
    """Events go where the user said, nowhere else."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None
