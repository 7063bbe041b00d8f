"""The scene editor: a page on this machine on which lines, zones, ignored areas and the ground are drawn.

It listens on the loopback address alone. The address that is printed holds a token that opens the page once; from then
on a cookie is asked for, so that neither other users of the machine nor other pages in the browser get in.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tracker.answers.scene import Line, Scene, as_data, scene_from, to_toml
from tracker.core.files import write_whole
from tracker.core.text import parse_json
from tracker.errors import BackendMissingError, ConfigError, OutputError, TrackerError

HOSTS = ("127.0.0.1", "localhost", "[::1]")
"""Names under which the page may be asked for, with any port: it may have been forwarded."""
MOST_BYTES = 400_000
COOKIE = "scene"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; form-action 'none'; base-uri 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Editor:
    """The page and what it asks for.

    Parameters
    ----------
    picture : bytes
        JPEG to draw on.
    path : Path
        Scene file, written when the page saves.
    scene : Scene
        What is drawn already; its size is that of the frames.
    suggested : Sequence[Line]
        Lines that the page offers.

    Attributes
    ----------
    token : str
        Opens the page once.
    saved : bool
        The page has saved.
    """

    def __init__(self, picture: bytes, path: Path, scene: Scene, suggested: Sequence[Line] = ()) -> None:
        self.token, self.saved = secrets.token_urlsafe(24), False
        self._session = secrets.token_urlsafe(24)
        self._picture, self._path, self._scene, self._suggested = picture, path, scene, tuple(suggested)
        self._server: Any = None

    def app(self) -> Any:
        """The page as an ASGI application.

        Raises
        ------
        BackendMissingError
            starlette is not installed.
        """
        try:
            from starlette.applications import Starlette
            from starlette.routing import Route
        except ImportError as e:
            raise _missing(e) from None
        routes = [
            Route("/", self._page),
            Route("/editor.js", self._script),
            Route("/editor.css", self._style),
            Route("/picture.jpg", self._image),
            Route("/scene.json", self._told),
            Route("/scene.json", self._save, methods=["POST"]),
            Route("/done", self._done, methods=["POST"]),
        ]
        return Starlette(routes=routes)

    def serve(self, listener: socket.socket) -> None:
        """Answer until the page says that it is done, or the process is interrupted.

        Raises
        ------
        BackendMissingError
            uvicorn or starlette is not installed.
        """
        app = self.app()
        try:
            import uvicorn
        except ImportError as e:
            raise _missing(e) from None
        config = uvicorn.Config(app, log_level="critical", access_log=False, server_header=False, lifespan="off")
        self._server = uvicorn.Server(config)
        self._server.run(sockets=[listener])

    def stop(self) -> None:
        """End `serve` soon, from any thread."""
        if self._server is not None:
            self._server.should_exit = True

    # ---- who may ask ----------------------------------------------------------------------------

    def _refused(self, request: Any) -> Any:
        """An answer to those who may not ask; None to those who may."""
        from starlette.responses import PlainTextResponse

        host = request.headers.get("host", "").rpartition(":")[0] or request.headers.get("host", "")
        cookie = request.cookies.get(COOKIE, "")
        if host not in HOSTS or not secrets.compare_digest(cookie.encode(), self._session.encode()):
            text = "This page is open in one browser only: start python -m tracker scene again."
            return PlainTextResponse(text, 403, headers=HEADERS)
        if request.method == "POST" and request.headers.get("content-type") != "application/json":
            return PlainTextResponse("expected application/json", 415, headers=HEADERS)
        return None

    async def _page(self, request: Any) -> Any:
        from starlette.responses import RedirectResponse

        given = request.query_params.get("token", "")
        if self.token and secrets.compare_digest(given.encode(), self.token.encode()):
            self.token = ""
            answer = RedirectResponse("/", 303, headers=HEADERS)
            answer.set_cookie(COOKIE, self._session, httponly=True, samesite="strict")
            return answer
        return self._refused(request) or self._file("editor.html", "text/html")

    # ---- what it answers ------------------------------------------------------------------------

    def _file(self, name: str, kind: str) -> Any:
        from starlette.responses import Response

        return Response((Path(__file__).parent / "pages" / name).read_bytes(), media_type=kind, headers=HEADERS)

    async def _script(self, request: Any) -> Any:
        return self._refused(request) or self._file("editor.js", "text/javascript")

    async def _style(self, request: Any) -> Any:
        return self._refused(request) or self._file("editor.css", "text/css")

    async def _image(self, request: Any) -> Any:
        from starlette.responses import Response

        return self._refused(request) or Response(self._picture, media_type="image/jpeg", headers=HEADERS)

    async def _told(self, request: Any) -> Any:
        from starlette.responses import JSONResponse

        if (refused := self._refused(request)) is not None:
            return refused
        suggested = as_data(Scene(lines=self._suggested)).get("line", [])
        data = {"scene": as_data(self._scene), "suggested": suggested, "file": str(self._path)}
        return JSONResponse(data, headers=HEADERS)

    async def _save(self, request: Any) -> Any:
        from starlette.responses import JSONResponse

        if (refused := self._refused(request)) is not None:
            return refused
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > MOST_BYTES:
                return JSONResponse({"error": "the scene is too large"}, 413, headers=HEADERS)
        try:
            self._write(body)
        except TrackerError as e:
            return JSONResponse({"error": str(e)}, 400, headers=HEADERS)
        return JSONResponse({"saved": str(self._path)}, headers=HEADERS)

    def _write(self, body: bytes) -> None:
        try:
            data = parse_json(body)
        except ValueError:
            raise ConfigError("the page sent no JSON") from None
        if not isinstance(data, dict):
            raise ConfigError("the page sent no scene")
        scene = scene_from({**data, "size": list(self._scene.size or (1, 1))}, "scene")
        write_whole(self._path, to_toml(scene))
        self._scene, self.saved = scene, True

    async def _done(self, request: Any) -> Any:
        from starlette.responses import JSONResponse

        if (refused := self._refused(request)) is not None:
            return refused
        self.stop()
        return JSONResponse({"done": True}, headers=HEADERS)


def listen(port: int = 0) -> socket.socket:
    """A socket on the loopback address; port 0: a free one.

    Raises
    ------
    OutputError
        The port is taken or not allowed.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(64)  # who asks before the page is served waits
    except (OSError, OverflowError) as e:
        listener.close()
        reason = getattr(e, "strerror", None) or e
        raise OutputError(f"port {port} of this machine cannot be used ({reason}); give another --port") from None
    return listener


def _missing(error: ImportError) -> BackendMissingError:
    return BackendMissingError(f"the scene editor needs {error.name}; run pip install 'deepsort-tracker[scene]'")
