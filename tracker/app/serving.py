"""`--serve` and `--publish`: the page and the publishers of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tracker.app.answering import scene_of
from tracker.app.config import RunConfig
from tracker.app.outputs import Viewer
from tracker.core.interfaces import SourceInfo
from tracker.serve.hub import Facts, Hub
from tracker.serve.outbox import Outbox
from tracker.serve.publish import Publisher, open_target, outbox_name

if TYPE_CHECKING:
    from tracker.app.pipeline import Pipeline


class Serving:
    """Shows and sends what a run's streams bring.

    Parameters
    ----------
    config : RunConfig
        Of the run; its scene tells which lines there are.
    serve : str, optional
        Address of the page; see `tracker.serve.server.parse_address`.
    publish : sequence of str
        Targets; see `tracker.serve.publish.open_target`.
    say : Callable
        Is told where the page is.
    warn : Callable
        Is told how publishing goes.

    Raises
    ------
    TrackerError
        The port is taken, a target makes no sense, or a package is not installed.
    """

    def __init__(
        self,
        config: RunConfig,
        serve: str | None,
        publish: Sequence[str],
        *,
        say: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:
        self._config, self._warn = config, warn
        self._hubs: list[Hub] = []
        self._publishers: list[Publisher] = []
        self._pipeline: Pipeline | None = None
        self._open = ExitStack()
        self._targets = [(text, open_target(text, self._hubs)) for text in publish]
        if serve is not None:
            from tracker.serve.server import Server

            server = Server(serve, self._hubs)
            self._open.callback(server.close)
            say(f"live page: {server.url}")

    def viewers(self, info: SourceInfo, class_names: Sequence[str], folder: Path | None) -> list[Viewer]:
        """The hub of a stream; with the first one, publishing begins."""
        number = len(self._hubs)
        name = info.name if info.name not in [h.name for h in self._hubs] else f"{info.name}-{number + 1}"
        ways = [(line.name, way) for line in scene_of(self._config, info.size).lines for way in line.directions]
        hub = Hub(name, info, folder, ways=ways, facts=lambda: self._facts(number))
        self._hubs.append(hub)
        if folder is not None and not self._publishers:
            where = folder if len(self._config.sources) == 1 else folder.parent
            for text, target in self._targets:
                publisher = Publisher(text, target, Outbox(where / outbox_name(text)), self._warn)
                self._open.callback(publisher.close)
                self._publishers.append(publisher)
        for publisher in self._publishers:
            hub.listen(publisher.take)
        return [hub]

    def attach(self, pipeline: Pipeline) -> None:
        """The streams run from now on; their health can be asked for."""
        self._pipeline = pipeline

    def _facts(self, number: int) -> Facts:
        if self._pipeline is None:
            return Facts()
        source = self._pipeline.streams[number].source
        dropped = self._pipeline.dropped[number]
        return Facts(dropped, source.reconnects, source.started_s)

    def summary(self) -> dict[str, Any]:
        """What `summary.json` tells of publishing; empty without."""
        return {"published": [p.summary() for p in self._publishers]} if self._publishers else {}

    def close(self) -> None:
        """Deliver what can be delivered soon, and answer no more."""
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
