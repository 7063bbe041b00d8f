"""`python -m tests.fuzz --cases N --seed S`: fuzz in processes that may die; exit code 1 where a case failed."""

from __future__ import annotations

import argparse
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import drawn
from tracker.core import child

CASE_S = 120.0
"""Seconds after which a case is one that does not end."""
MEMORY = 6 << 30
"""Bytes that a process of cases may use."""
BATCH = 500
"""Cases of one process: memory that a library keeps does not pile up."""


class Fuzzer:
    """Runs cases one after the other in child processes and gathers how they went.

    Attributes
    ----------
    outcomes : Counter
        By (target, `read`, `refused` or `failed`).
    failures : list of str
        A line for each.
    """

    def __init__(self, seed: int, names: str = "", keep: str = "") -> None:
        self.seed, self.names, self.keep = seed, names, keep
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.failures: list[str] = []

    def run(self, cases: int) -> None:
        """Run cases 0 to `cases` - 1."""
        number = 0
        while number < cases:
            number = self._process(number, min(BATCH, cases - number))

    def _process(self, first: int, count: int) -> int:
        """Cases in one process, up to the one that kills it; the number of the next."""
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder, tempfile.TemporaryFile() as errors:
            limits = ["tracker.core.child", "0", str(min(child.memory(), MEMORY))]
            given = [str(self.seed), str(first), str(count), folder, self.keep, self.names]
            command = [sys.executable, "-m", *limits, "tests.fuzz.worker", *given]
            environment = {**os.environ, child.MARK: "1", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1",
                           "PYTHONPATH": str(Path(__file__).parents[2]), "TRACKER_CACHE": f"{folder}-cache",
                           "OPENCV_LOG_LEVEL": "SILENT", "AV_LOG_FORCE_NOCOLOR": "1"}  # fmt: skip
            number = first - 1
            with subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
            ) as process:
                for line in _lines(process):
                    number = line["number"]
                    if "outcome" in line:
                        self._count(line["target"], number, line["outcome"])
                        number += 1
            code = process.returncode
            if number >= first + count:
                return number
            number = max(number, first)
            target = drawn(self.seed, number, [n for n in self.names.split(",") if n])[0].name
            errors.seek(max(0, errors.seek(0, os.SEEK_END) - 400))
            words = errors.read().decode(errors="replace").strip().replace("\n", " | ")
            self._count(target, number, f"the process ended with {code}: {words}")
            return number + 1

    def _count(self, target: str, number: int, outcome: str) -> None:
        failed = outcome not in ("read", "refused")
        self.outcomes[target, "failed" if failed else outcome] += 1
        if failed:
            self.failures.append(f"case {number} ({target}): {outcome}")
            print(f"FAILED {self.failures[-1]}", flush=True)

    def table(self) -> str:
        """How many cases of each target were read, refused, failed."""
        rows = [f"{'target':12}{'read':>8}{'refused':>9}{'failed':>8}"]
        kinds = ("read", "refused", "failed")
        names = sorted({target for target, _ in self.outcomes})
        rows += ["{:12}{:8}{:9}{:8}".format(name, *(self.outcomes[name, k] for k in kinds)) for name in names]
        return "\n".join(rows)


def _lines(process: subprocess.Popen[str]) -> Any:
    """What a worker says, as long as it says something; one that is silent for too long is killed."""
    said: queue.Queue[str | None] = queue.Queue()

    def listen() -> None:
        for line in process.stdout or ():
            said.put(line)
        said.put(None)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    while True:
        try:
            line = said.get(timeout=CASE_S)
        except queue.Empty:
            process.kill()
            line = None
        if line is None:
            listener.join()
            return
        if line.startswith("{"):
            yield json.loads(line)


def main(arguments: list[str] | None = None) -> int:
    """Fuzz and report; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", metavar="TARGET,...", help=", ".join(t.name for t in TARGETS))
    parser.add_argument("--keep", default="", metavar="DIR", help="keep the files of failed cases there")
    given = parser.parse_args(arguments)
    if given.keep:
        Path(given.keep).mkdir(parents=True, exist_ok=True)
        given.keep = str(Path(given.keep).resolve())
    fuzzer, started = Fuzzer(given.seed, given.only, given.keep), time.monotonic()
    fuzzer.run(given.cases)
    print(fuzzer.table())
    print(
        f"{given.cases} cases, seed {given.seed}, {time.monotonic() - started:.0f} s, {len(fuzzer.failures)} failures"
    )
    return 1 if fuzzer.failures else 0


if __name__ == "__main__":
    sys.exit(main())
