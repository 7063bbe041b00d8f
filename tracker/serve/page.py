"""The page of a live run: pictures, counts, health and recording over HTTP."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from tracker.core.text import parse_json
from tracker.serve.hub import Hub
from tracker.serve.metrics import render

STATIC = Path(__file__).parent / "static"
BOUNDARY = "picture"
MOST_VIEWERS = 32
"""Connections that stay open, all together: each takes a little memory and bandwidth."""
WAITING = 1000
"""Events that a slow reader may be behind; older ones are dropped, and it is told how many."""
KEEP_ALIVE_S = 15.0
MOST_BYTES = 1000
"""Of what a request may send."""
WRONG_S = 0.5
"""Seconds that a wrong password has to wait for its answer."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

Send = Callable[[dict[str, Any]], Awaitable[None]]


class Guard:
    """Lets in who may look, and tells browsers what the page may load.

    Parameters
    ----------
    app : ASGI application
        What is behind.
    password : str
        Asked for, as a Bearer token or with any name as HTTP's Basic authentication; empty: nobody is asked, and only
        requests to this machine by one of its own names are answered, so that no page elsewhere can read along.
    """

    OWN = ("127.0.0.1", "localhost", "[::1]")

    def __init__(self, app: Any, password: str) -> None:
        self._app, self._password = app, password

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Send) -> None:
        """Answer, pass on, or refuse a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        refused = await self._refuse(request)
        if refused is not None:
            await refused(scope, receive, send)  # type: ignore[arg-type]
            return

        async def send_with_headers(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                have = {name.lower() for name, _ in message["headers"]}
                extra = [(k.lower().encode(), v.encode()) for k, v in HEADERS.items() if k.lower().encode() not in have]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        await self._app(scope, receive, send_with_headers)

    async def _refuse(self, request: Request) -> Response | None:
        host = request.headers.get("host", "")
        if not self._password and host.rsplit(":", 1)[0] not in self.OWN and host not in self.OWN:
            return PlainTextResponse("this page answers to 127.0.0.1 and localhost alone", 403)
        origin = request.headers.get("origin")
        if request.method == "POST" and origin is not None and origin.partition("://")[2] != host:
            return PlainTextResponse("requests of other pages are refused", 403)
        if self._password and not self._knows(request.headers.get("authorization", "")):
            await asyncio.sleep(WRONG_S)
            return PlainTextResponse(
                "a password is needed", 401, {"WWW-Authenticate": 'Basic realm="tracker", charset="UTF-8"', **HEADERS}
            )
        return None

    def _knows(self, header: str) -> bool:
        kind, _, value = header.partition(" ")
        given = value.strip()
        if kind.lower() == "basic":
            try:
                given = base64.b64decode(given, validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                return False
        elif kind.lower() != "bearer":
            return False
        return hmac.compare_digest(given.encode(), self._password.encode())


def make_app(hubs: Sequence[Hub], password: str = "") -> Starlette:
    """The application for the streams of a run, which may still be opened; `password` as for `Guard`."""
    pages = _Pages(hubs)
    routes = [
        Route("/", pages.index),
        Route("/counts.json", pages.counts),
        Route("/health.json", pages.health),
        Route("/events", pages.events),
        Route("/stream.mjpg", pages.stream),
        Route("/snapshot.jpg", pages.snapshot),
        Route("/metrics", pages.metrics),
        Route("/recording", pages.recording, methods=["POST"]),
        Route("/favicon.ico", pages.icon),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    return Starlette(routes=routes, middleware=[Middleware(Guard, password=password)])


class _Pages:
    def __init__(self, hubs: Sequence[Hub]) -> None:
        self._hubs = hubs
        self._open = 0

    def _hub(self, request: Request) -> Hub | None:
        number = request.query_params.get("source", "0")
        return next((hub for place, hub in enumerate(self._hubs) if str(place) == number), None)

    async def index(self, request: Request) -> Response:
        return Response((STATIC / "index.html").read_bytes(), media_type="text/html")

    async def icon(self, request: Request) -> Response:
        return Response(status_code=204)

    async def counts(self, request: Request) -> Response:
        return JSONResponse({"sources": [hub.counts() for hub in self._hubs]})

    async def health(self, request: Request) -> Response:
        return JSONResponse({"sources": [hub.health() for hub in self._hubs]})

    async def metrics(self, request: Request) -> Response:
        text, kind = render(self._hubs)
        return Response(text, media_type=kind)

    async def recording(self, request: Request) -> Response:
        hub = self._hub(request)
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > MOST_BYTES:
                return PlainTextResponse("too much is sent", 413)
        try:
            wanted = parse_json(body)["on"]
        except (ValueError, KeyError, TypeError):
            wanted = None
        if hub is None or not isinstance(wanted, bool):
            return PlainTextResponse('expected {"on": true} or {"on": false}, and a source that there is', 400)
        return JSONResponse({"recording": hub.record(wanted)})

    async def snapshot(self, request: Request) -> Response:
        hub = self._hub(request)
        if hub is None:
            return PlainTextResponse("no such source", 404)
        picture = await asyncio.to_thread(hub.snapshot)
        if picture is None:
            return PlainTextResponse("no picture came within 3 s", 503)
        return Response(picture, media_type="image/jpeg")

    async def stream(self, request: Request) -> Response:
        hub = self._hub(request)
        if hub is None:
            return PlainTextResponse("no such source", 404)
        if self._open >= MOST_VIEWERS:
            return PlainTextResponse(f"{MOST_VIEWERS} look already", 503)
        return StreamingResponse(self._parts(hub), media_type=f"multipart/x-mixed-replace; boundary={BOUNDARY}")

    async def _parts(self, hub: Hub) -> AsyncIterator[bytes]:
        """Pictures as they come; one that was not sent in time gives way to the next."""
        async for data in self._each(hub.watch, 1):
            if data is not None:
                head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                yield head.encode() + data + b"\r\n"

    async def events(self, request: Request) -> Response:
        hub = self._hub(request)
        if hub is None:
            return PlainTextResponse("no such source", 404)
        if self._open >= MOST_VIEWERS:
            return PlainTextResponse(f"{MOST_VIEWERS} look already", 503)
        return StreamingResponse(self._lines(hub), media_type="text/event-stream")

    async def _lines(self, hub: Hub) -> AsyncIterator[bytes]:
        """Crossings as server-sent events; a comment now and then keeps the connection."""
        async for event in self._each(hub.listen, WAITING):
            if event is None:
                yield b": still here\n\n"
            else:
                yield f"event: crossing\ndata: {json.dumps(event)}\n\n".encode()

    async def _each(self, subscribe: Callable[[Callable[[Any], None]], Callable[[], None]], room: int) -> Any:
        """What a hub tells, from its threads into this loop; the oldest gives way; None at first and after silence."""
        loop, queue = asyncio.get_running_loop(), asyncio.Queue[Any](room)

        def put(item: Any) -> None:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(item)

        def take(item: Any) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(put, item)

        end = subscribe(take)
        self._open += 1
        try:
            yield None  # whoever reads it knows that nothing is missed from here on
            while True:
                try:
                    yield await asyncio.wait_for(queue.get(), KEEP_ALIVE_S)
                except TimeoutError:
                    yield None
        finally:
            self._open -= 1
            end()
