"""The web server of a run, in a thread of its own."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tracker.errors import BackendMissingError, ConfigError, OutputError

if TYPE_CHECKING:
    from tracker.serve.hub import Hub

OWN = ("127.0.0.1", "localhost", "::1")
PASSWORD = "TRACKER_PASSWORD"  # noqa: S105 (a name, no password)
"""Environment variable with the page's password: on a command line everybody on the machine could read it."""
END_S = 2.0


def parse_address(text: str) -> tuple[str, int]:
    """`PORT`, `HOST:PORT` or `[IPv6]:PORT`; this machine alone where no host is named. Port 0 takes a free one.

    Raises
    ------
    ConfigError
        No such text.
    """
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"--serve {text}; expected PORT or HOST:PORT, such as 8080 or 0.0.0.0:8080")
    return host.strip("[]") or "127.0.0.1", int(port)


class Server:
    """Serves the page of some streams until closed.

    Parameters
    ----------
    address : str
        See `parse_address`.
    hubs : sequence of Hub
        One a stream.

    Attributes
    ----------
    url : str
        Where the page is.

    Raises
    ------
    ConfigError
        Another address than this machine's own, and no password.
    OutputError
        The port is taken or may not be used.
    BackendMissingError
        The packages of the extra are not installed.
    """

    def __init__(self, address: str, hubs: Sequence[Hub]) -> None:
        host, port = parse_address(address)
        password = os.environ.get(PASSWORD, "")
        if host not in OWN and not password:
            raise ConfigError(
                f"--serve {address}: others could look; set {PASSWORD} to a password that they must know, or serve "
                "this machine alone: --serve PORT"
            )
        try:
            import uvicorn

            from tracker.serve.page import make_app
        except ImportError as e:
            raise BackendMissingError(
                f"--serve needs {e.name}, which is not installed; pip install 'deepsort-tracker[live]'"
            ) from None
        self._socket = _listen(host, port)
        port = self._socket.getsockname()[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
        self._server = uvicorn.Server(
            uvicorn.Config(
                make_app(hubs, password), log_level="critical", access_log=False, lifespan="off",
                timeout_graceful_shutdown=1, server_header=False,
            )
        )  # fmt: skip
        self._thread = threading.Thread(target=self._run, name="server", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])

    def close(self) -> None:
        """Answer no more."""
        self._server.should_exit = True
        self._thread.join(END_S)
        self._socket.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError as e:
        listener.close()
        raise OutputError(
            f"--serve {host}:{port}: cannot be used ({e.strerror or e}); choose another port, or 0 for a free one"
        ) from None
    return listener
