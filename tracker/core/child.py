"""Work on strangers' files in a process of its own, with limits of time and memory: what kills it is a message here.

`python -m tracker.core.child SECONDS BYTES MODULE ARGUMENT...` sets the limits and runs a module.
"""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

SECONDS = 180.0
"""For one trial of a model: loading TensorFlow and running a few pictures takes a tenth of that on a slow machine."""
MARK = "TRACKER_CHILD"
"""In the environment of a process that runs under limits, so that it makes no further one."""
GAVE_UP = 75
"""Exit code of a process under limits in which a part took too long."""
PATIENCE = 4.0
"""What stands still, without taking processor time, is given so many times the seconds by the clock."""


class EndedError(Exception):
    """A child that did not end by itself; its text says how it went."""


def memory() -> int:
    """Bytes that a child may use: three quarters of the machine's, at least 4 GiB."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # no POSIX system
        total = 0
    return max(4 << 30, total * 3 // 4)


def run(
    module: str, arguments: Sequence[str], *, seconds: float | None = SECONDS, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `python -m MODULE ARGUMENT...` under limits; returns its exit code and what it printed.

    Parameters
    ----------
    module : str
        A module of this program.
    seconds : float or None, optional
        As in `limited`; None lets it take its time.
    environment : dict, optional
        Variables besides those of this process.

    Raises
    ------
    EndedError
        It or a part of it took too long, or a signal ended it.
    """
    with _started(module, arguments, seconds, environment or {}, subprocess.PIPE) as process:
        try:
            out, err = process.communicate(timeout=None if seconds is None else PATIENCE * seconds + 5)
        except subprocess.TimeoutExpired:  # it could not end itself
            raise EndedError(_late(seconds or 0)) from None
    if process.returncode < 0:
        raise EndedError(_signal(-process.returncode))
    if process.returncode == GAVE_UP:
        raise EndedError(err.strip().rpartition("error: ")[2])
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def pass_on(module: str, arguments: Sequence[str]) -> int:
    """Run a module under limits with this process's own streams; its exit code.

    Raises
    ------
    EndedError
        A signal ended it.
    """
    with _started(module, arguments, None, {}, None) as process:
        code = process.wait()
    if code < 0:
        raise EndedError(_signal(-code))
    return 1 if code == GAVE_UP else code


@contextmanager
def _started(
    module: str, arguments: Sequence[str], seconds: float | None, environment: dict[str, str], stream: int | None
) -> Iterator[subprocess.Popen[str]]:
    """A child that is killed where the block ends before it does: by an error, a time limit or Ctrl-C."""
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH", "")) if p)
    command = [sys.executable, "-m", "tracker.core.child", str(int(seconds or 0)), str(memory()), module, *arguments]
    process = subprocess.Popen(
        command, stdout=stream, stderr=stream, text=True, errors="replace",
        env={**os.environ, **environment, "PYTHONPATH": path, MARK: "1"},
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def _late(seconds: float) -> str:
    return f"it did not end within {seconds:g} s"


def _signal(number: int) -> str:
    """How a signal's victim went, with the likely reason."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    memory_gone = f", perhaps for want of memory (the limit is {memory() / 2**30:.0f} GiB)"
    return f"it was ended by {name}" + (memory_gone if name in ("SIGKILL", "SIGABRT") else "")


@contextmanager
def limited(seconds: float, what: str) -> Iterator[None]:
    """In a process under limits, end it with one line where the block takes longer, even inside foreign code.

    Parameters
    ----------
    seconds : float
        By the clock and of processor time: a machine that is busy with other work is no reason to give up.
    what : str
        Said where they are over, with the remedy.
    """
    if MARK not in os.environ:
        yield
        return
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(done, seconds, what), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()


def _watch(done: threading.Event, seconds: float, what: str) -> None:
    """End the process unless it is done in time."""
    spent, began = time.process_time(), time.monotonic()
    while not done.wait(0.2):
        took, computed = time.monotonic() - began, time.process_time() - spent
        if min(took, computed) > seconds or took > PATIENCE * seconds:
            print(f"error: {what}", file=sys.stderr, flush=True)
            os._exit(GAVE_UP)


def _limit(seconds: int, size: int) -> None:
    """Set this process's limits where the system knows any; processor time is a net below the parent's clock."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        most = size if hard == resource.RLIM_INFINITY else min(size, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
        if seconds:
            spent = seconds * (os.cpu_count() or 1)
            resource.setrlimit(resource.RLIMIT_CPU, (spent, spent + 5))


def _follow(parent: int) -> None:
    """End with the parent, however that ends."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def main(arguments: list[str]) -> None:
    """Set the limits, then become the module."""
    seconds, size, module, *rest = arguments
    _limit(int(seconds), int(size))
    if int(seconds):
        threading.Thread(
            target=_watch, args=(threading.Event(), int(seconds), _late(int(seconds))), daemon=True
        ).start()
    threading.Thread(target=_follow, args=(os.getppid(),), daemon=True).start()
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
