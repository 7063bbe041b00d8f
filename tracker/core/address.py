"""Addresses of cameras and streams: one type that connects with what they hold and never shows it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import quote

from tracker.core.files import path_component
from tracker.core.text import HIDDEN, printable
from tracker.errors import SourceError

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://.+", re.IGNORECASE | re.DOTALL)
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PAIR = re.compile(r"(?P<key>[\w.-]*(?:user|login|account|pass|pwd|pw|token|key|secret|auth|sig)[\w.-]*?)="
                   r"(?P<value>(?:(?!_\w+=)[^&/;])*)", re.IGNORECASE)  # fmt: skip
STREAM_KEYS = ("rtmp", "rtmps", "rtmpt", "rtmpe")
"""Schemes whose path beyond its first part is what keeps others from the stream."""


@dataclass(frozen=True)
class Address:
    """An address as it was given; `str` shows it without user, password and the values of its query.

    `{NAME}` in it stands for the environment variable NAME, percent-encoded, so that no secret need be typed or kept.
    """

    given: str

    @classmethod
    def parse(cls, text: str) -> Address | None:
        """An address, or None for what is none: `scheme://` is what makes one."""
        return cls(text) if _ADDRESS.fullmatch(text) else None

    @property
    def scheme(self) -> str:
        """In lower case, such as `rtsp`."""
        return self.given.split("://", 1)[0].lower()

    @property
    def secret(self) -> bool:
        """It holds what must not be shown; placeholders hold nothing."""
        user, place, query = _parts(_PLACEHOLDER.sub("", self.given).partition("://")[2])
        pairs = [m["value"] for m in _PAIR.finditer(place)] + [p.rpartition("=")[2] for p in re.split("[&;]", query)]
        return bool(self._is_keyed(place) or user.strip(":") or "@" in place + query or any(pairs))

    def connect(self) -> str:
        """The address to connect to, placeholders filled in.

        Raises
        ------
        SourceError
            A placeholder's variable is not in the environment.
        """

        def value(match: re.Match[str]) -> str:
            found = os.environ.get(match[1])
            if found is None:
                raise SourceError(
                    f"{self}: the environment has no variable {match[1]}; set it, for example export {match[1]}=..."
                )
            return quote(found, safe="")

        return re.sub("^[^:]+", lambda m: m[0].lower(), _PLACEHOLDER.sub(value, self.given))

    def __str__(self) -> str:
        scheme, _, rest = self.given.partition("://")
        _, place, query = _parts(rest)
        if self.ambiguous:
            return printable(f"{scheme}://{HIDDEN}")
        place = _PAIR.sub(rf"\g<key>={HIDDEN}", place)
        if self._is_keyed(place):
            place = "/".join((*place.split("/")[:2], HIDDEN))
        shown = re.sub(r"=[^&;]*", f"={HIDDEN}", query) if "=" in query else HIDDEN
        return printable(f"{scheme}://{place}" + (f"?{shown}" if query else ""))

    def _is_keyed(self, place: str) -> bool:
        """The rest of the path keeps others from the stream."""
        return self.scheme in STREAM_KEYS and place.count("/") > 1

    @property
    def ambiguous(self) -> bool:
        """An unusual password, or no password at all: nobody can tell where it ends."""
        _, place, query = _parts(self.given.partition("://")[2])
        return "@" in place + query

    @property
    def host(self) -> str:
        """Scheme and host alone, for hooks whose path is their secret."""
        scheme, _, place = str(self).partition("://")
        return f"{scheme}://{place.partition('/')[0].partition('?')[0]}"

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"

    def name(self) -> str:
        """A name for files: host and path."""
        place = str(self).split("://", 1)[-1].split("?")[0].replace(HIDDEN, "")
        place = re.sub(r"\.[A-Za-z0-9]{2,4}$", "", place)
        return path_component(re.sub(r"[^A-Za-z0-9]+", "_", place).strip("_"), "stream")


def _parts(rest: str) -> tuple[str, str, str]:
    """User part, host and path, and query of what follows `scheme://`, split as FFmpeg does."""
    place, _, query = rest.partition("#")[0].partition("?")
    if "#" in rest:  # a password may hold one
        query += "@" * ("@" in rest.partition("#")[2])
    authority, slash, path = place.partition("/")
    user, _, host = authority.rpartition("@")
    return user, host + slash + path, query


def shown(text: str) -> str:
    """A source as it is told: an address without its secrets, anything else printable."""
    address = Address.parse(text)
    return printable(text) if address is None else str(address)
