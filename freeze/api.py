"""Freezing as a library: `freeze`, `freeze_cached`, `frozen_default`, and `Freezing` beside other work."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import fields, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from freeze import networks
from freeze.errors import FreezeError, Log, UsageError
from freeze.request import Request, check_request
from tracker.encoder.contract import Contract, contract_path

if TYPE_CHECKING:
    from freeze.proof.reload import FreshProcess

LOADERS = {
    "meta": "freeze.load.metagraph",
    "builder": "freeze.load.builder",
    "network": "freeze.load.network",
    "keras": "freeze.load.keras",
    "saved_model": "freeze.load.saved_model",
    "graphdef": "freeze.load.graphdef",
}
DEFAULTS = {"default": "striped"}


def freeze(request: Request, log: Log | None = None, fresh: FreshProcess | None = None) -> Contract:
    """Loads, diagnoses, mends, freezes, proves and writes `request.out` with its contract beside it.

    Parameters
    ----------
    log : Log or None
        Receives the findings; they also stand in the contract.
    fresh : FreshProcess or None
        The process that loads the result to prove it, where one was started before.

    Raises
    ------
    FreezeError
        The encoder cannot be frozen; nothing is written.
    UsageError
        The request names no source, or several.
    """
    from freeze import compare, export, pipeline
    from freeze.proof import precision, prove
    from freeze.report import record

    log = log if log is not None else Log()
    check_request(request)
    if request.out is None:
        raise UsageError("say where the graph goes: --out X.pb")
    model = import_module(LOADERS[request.source]).load(request, log)
    job = pipeline.mended(request, model, log)
    graph_def = pipeline.frozen(job)
    proof = prove.prove(job, graph_def)
    compare.check_against_meta(job, proof)
    full = graph_def
    graph_def, arithmetic = precision.chosen(job, graph_def, proof)
    data = export.serialised(graph_def)
    with export.staged(request.out, data) as path:
        contract_path(path).write_text(pipeline.contract(job, data, proof.figures, arithmetic).to_json())
        prove.reload(path, proof, job, fresh)
        contract = pipeline.contract(job, data, proof.figures, arithmetic)
        record.written(job, graph_def, contract)
        export.publish(path, contract.to_json(), request.out)
    if request.also:
        _also(request, full, proof.images, contract, log)
    return contract


def _also(request: Request, graph_def: Any, images: Any, contract: Contract, log: Log) -> None:
    """Writes the other formats.

    Raises
    ------
    FreezeError
        FORMATS_LOST: some are not written; the frozen graph is.
    """
    from freeze.formats.also import write_also

    if lost := write_also(request, graph_def, images, contract, log):
        raise FreezeError(
            "FORMATS_LOST",
            f"{request.out} is written and proved, of the other formats {', '.join(lost)} not: the warnings say why",
            f"leave out --also {','.join(lost)}, or do what the warnings say",
            lost,
        )


def cache_folder() -> Path:
    """Where graphs frozen on demand are kept."""
    from tracker.core.files import cache_folder as folder

    return folder("encoders")


def freeze_cached(request: Request) -> Path:
    """The frozen graph for a request, from the cache where the same sources were frozen before.

    A fresh process freezes, so that the caller's TensorFlow (threads, devices) stays as it was. `request.out` is
    ignored.

    Raises
    ------
    FreezeError, UsageError
        As from `freeze`; the message is the same.
    """
    with Freezing(request) as freezing:
        return freezing.result()


class Freezing:
    """A request that another process works on, unless its graph is in the cache; killed where it is not waited for.

    Parameters
    ----------
    request : Request
        What to freeze; `out` is ignored.

    Raises
    ------
    UsageError
        The request names no source, or several.
    """

    def __init__(self, request: Request) -> None:
        check_request(replace(request, out=None))
        self._out = cache_folder() / f"{request.source}-{fingerprint(request)[:20]}.pb"
        self._process: subprocess.Popen[str] | None = None
        self._told: str | None = None
        self._reading = threading.Lock()
        if not self.done:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "freeze.worker"],
                stdin=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                stdout=subprocess.DEVNULL,
                cwd=Path.cwd(),
                env=_environment(),
            )
            self._ask(replace(request, out=self._out))

    def _ask(self, request: Request) -> None:
        """Give the process its request, so that it begins."""
        assert self._process is not None and self._process.stdin is not None  # noqa: S101
        with suppress(BrokenPipeError):  # it ended at once: `result` tells why
            self._process.stdin.write(request.to_json())
            self._process.stdin.close()
        self._process.stdin = None

    @property
    def done(self) -> bool:
        """The graph is there, with its contract."""
        return self._out.exists() and contract_path(self._out).exists()

    def result(self) -> Path:
        """Wait for the graph.

        Raises
        ------
        FreezeError
            As from `freeze`; the message is the same.
        """
        if self._process is not None:
            told = self._end(self._process)
            if self._process.returncode or not self._out.exists():
                raise FrozenElsewhereError(told.strip() or f"freezing ended with exit code {self._process.returncode}")
        return self._out

    def _end(self, process: subprocess.Popen[str]) -> str:
        """Wait for the process; what it told. One thread may wait while another kills it."""
        with self._reading:
            if self._told is None:
                self._told = process.communicate()[1]
            return self._told

    def close(self) -> None:
        """Give up what is not done."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._end(self._process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class FrozenElsewhereError(FreezeError):
    """A FreezeError that happened in another process; its text is complete."""

    def __init__(self, text: str) -> None:
        self.whole = text
        super().__init__(text.split(":", 1)[0], text, "")

    def text(self) -> str:
        """The whole message, as the other process wrote it."""
        return self.whole


def _environment() -> dict[str, str]:
    import os

    root = str(Path(__file__).parents[1])
    return {
        **os.environ,
        "CUDA_VISIBLE_DEVICES": "-1",
        "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
    }


def default_request(name: str = "default") -> Request:
    """What freezes an encoder that ships with the program (`default`, `colour`)."""
    return Request(network=networks.network(DEFAULTS.get(name, name)).name)


def frozen_default(name: str = "default") -> Path:
    """The frozen graph of an encoder that ships with the program, made on the first call."""
    return freeze_cached(default_request(name))


def fingerprint(request: Request) -> str:
    """SHA-256 over every file a request reads, its options, and the freeze package itself."""
    digest = hashlib.sha256()
    plain: dict[str, Any] = {
        f.name: str(getattr(request, f.name)) for f in fields(request) if f.name not in ("out", "report", "tensorboard")
    }
    digest.update(json.dumps(plain, sort_keys=True).encode())
    for path in [*_sources(request), *sorted(Path(__file__).parent.rglob("*.py"))]:
        digest.update(path.name.encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _sources(request: Request) -> list[Path]:
    """The files a request reads."""
    given = [
        request.meta,
        request.checkpoint,
        request.keras,
        request.custom_objects,
        request.saved_model,
        request.graphdef,
    ]
    if request.builder:
        given.append(Path(request.builder.rsplit(":", 1)[0] if ".py:" in request.builder else request.builder))
    if request.network:
        given.append(networks.network(request.network).checkpoint)
    found: list[Path] = []
    for path in given:
        if path is None:
            continue
        path = Path(path)
        if path.is_dir():
            found += sorted(p for p in path.rglob("*") if p.is_file())
        else:
            found += (
                [path] * path.is_file() + sorted(path.parent.glob(path.name + ".*")) if path.parent.is_dir() else []
            )
    return [p for p in dict.fromkeys(found) if p.is_file()]
