"""Ray's side of a batch: a cluster or this machine, a task a part, what died done again elsewhere."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from tracker.app.batch.bundle import Bundle
from tracker.app.batch.worker import Choice, Task, Tracked
from tracker.core.tensorflow import cores
from tracker.errors import BackendMissingError, ConfigError, TrackerError, first_line

RETRIES = 3
"""How often a part whose worker or node died is given to another."""
AHEAD = 2
"""Parts a worker that wait in Ray's queue, so that none is idle and a list of thousands needs no memory."""
STORE_BYTES = 256 << 20
"""Ray's shared memory on this machine: models, and rows on their way; more goes to disk."""
LOCAL = "auto"
ALL_GPUS = "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"
"""0: Ray hides no GPU from tasks that ask for none of it; ours are shared."""
ANSWER_S = 10.0
"""Seconds in which a cluster must answer."""
EXPECTED = "expected auto or a running cluster's address, such as 10.0.0.1:6379 or ray://head:10001"
Answer = Tracked | Choice | TrackerError
"""What a task gives, or why it gives nothing."""
MEMORY_RETRIES = "RAY_task_oom_retries"
"""How often Ray tries again what it ended for want of memory: by its default without end."""


def import_ray() -> Any:
    """Ray, or an error that names the command that installs it."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault(ALL_GPUS, "0")
    os.environ.setdefault(MEMORY_RETRIES, str(RETRIES))
    try:
        import ray
    except ImportError:
        raise BackendMissingError("batch needs Ray; pip install 'deepsort-tracker[batch]'") from None
    return ray


def _check_address(address: str) -> None:
    """Ask whether somebody listens there: Ray itself asks for minutes, and tells each try."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_S).close()
    except (OSError, OverflowError, UnicodeError) as e:
        reason = getattr(e, "strerror", None) or e
        raise ConfigError(f"--ray {address}: nobody answers ({reason}); {EXPECTED}") from None


class Cluster:
    """A connection to Ray, and the workers there.

    Parameters
    ----------
    address : str
        `auto`: this machine alone; else the address of a running cluster, such as `10.0.0.1:6379` or `ray://head:10001`.
    workers : int, optional
        Parts that are tracked at the same time; by default one a processor.

    Raises
    ------
    BackendMissingError
        Ray is not installed.
    ConfigError
        Nothing answers at the address, or it runs another version.
    """

    def __init__(self, address: str = LOCAL, workers: int | None = None) -> None:
        self._ray = ray = import_ray()
        local = address == LOCAL
        where: dict[str, Any] = {"address": address}
        if local:
            where = {"address": "local", "include_dashboard": False, "object_store_memory": STORE_BYTES}
        else:
            _check_address(address)
        where |= {"log_to_driver": False, "logging_level": "ERROR"}
        try:
            ray.init(**where, runtime_env={"env_vars": _environment(local, workers)})
        except Exception as e:  # Ray raises many kinds
            raise ConfigError(f"--ray {address}: {first_line(e)}; {EXPECTED}") from None
        processors = int(ray.cluster_resources().get("CPU", 1))
        self.workers = min(workers or processors, processors)
        self.nodes = sum(node["Alive"] for node in ray.nodes())
        self._most = AHEAD * self.workers if self.workers == processors else self.workers
        self._work = ray.remote(num_cpus=1, max_retries=RETRIES, retry_exceptions=[MemoryError])(_work)
        self._bundle: Any = None
        self._stop = threading.Event()

    def ship(self, bundle: Bundle) -> None:
        """Put the models where every worker finds them."""
        self._bundle = self._ray.put(bundle)

    def run(self, waiting: deque[Task]) -> Iterator[tuple[str, Answer]]:
        """Answers as they come, each with its task's key; tasks may be added to those that wait meanwhile."""
        ray = self._ray
        running: dict[Any, str] = {}
        while (waiting or running) and not self._stop.is_set():
            while waiting and len(running) < self._most:
                task = waiting.popleft()
                running[self._work.remote([self._bundle], task)] = task.key
            done, _ = ray.wait(list(running), num_returns=1, timeout=1.0)
            for reference in done:
                yield running.pop(reference), self._answer(reference)

    def stop(self) -> None:
        """Give out nothing more and wait for nothing; parts on their way are lost, those that came are kept."""
        self._stop.set()

    abort = stop

    def _answer(self, reference: Any) -> Answer:
        errors = self._ray.exceptions
        try:
            answer = self._ray.get(reference)
        except (errors.OutOfMemoryError, MemoryError):
            return TrackerError(f"its workers ran out of memory {RETRIES + 1} times; give fewer --workers")
        except (errors.WorkerCrashedError, errors.NodeDiedError, errors.ObjectLostError, errors.OwnerDiedError) as e:
            return TrackerError(f"its workers died {RETRIES + 1} times ({type(e).__name__}): memory, or a faulty file")
        except errors.RayError as e:
            return TrackerError(f"Ray: {first_line(e)}")
        return TrackerError(answer) if isinstance(answer, str) else answer

    def close(self) -> None:
        """Leave the cluster; what this machine started for it ends."""
        self._ray.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _environment(local: bool, workers: int | None) -> dict[str, str]:
    """Each worker takes a processor, and sees all GPUs; on this machine it imports what we do and uses our cache."""
    given = {"TRACKER_CORES": "1", ALL_GPUS: "0", "TF_CPP_MIN_LOG_LEVEL": "3", "OPENCV_LOG_LEVEL": "ERROR"}
    if local:
        given["TRACKER_CORES"] = str(max(1, cores() // (workers or cores())))
        given["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[3]), *(p for p in sys.path if p)])
        if cache := os.environ.get("TRACKER_CACHE"):
            given["TRACKER_CACHE"] = str(Path(cache).absolute())
    return given


def _work(bundle: list[Any], task: Task) -> Tracked | Choice | str:
    """One task, in a worker; an error of ours comes back as text, since Ray does everything else again."""
    from dataclasses import replace

    import ray

    from tracker.app.batch.worker import choose, track_part

    try:
        shipped = _unpacked(ray.get(bundle[0]), bundle[0].hex())
        config = replace(task.config, **(shipped | task.chosen))
        return choose(config) if task.part is None else track_part(config, task.part)
    except TrackerError as e:
        return str(e)
    except MemoryError:
        raise
    except Exception as e:
        return f"{type(e).__name__}: {first_line(e)}"


_places: dict[str, dict[str, Any]] = {}


def _unpacked(bundle: Bundle, key: str) -> dict[str, Any]:
    """What the shipped models change in a configuration; unpacked once a process."""
    if key not in _places:
        c = bundle.unpack()
        _places[key] = {"detector": c.detector, "encoder": c.encoder, "freeze": c.freeze, "offline": c.offline}
    return _places[key]
