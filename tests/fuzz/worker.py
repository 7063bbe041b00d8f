"""One process of the fuzzer: `python -m tests.fuzz.worker SEED FIRST COUNT FOLDER KEEP TARGET,...`; a line a case."""

from __future__ import annotations

import faulthandler
import json
import random
import shutil
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

from tests.fuzz.mutate import mutated
from tests.fuzz.targets import EXPECTED, TARGETS, Target

VICTIM = b"precious\n"


def drawn(seed: int, number: int, names: list[str]) -> tuple[Target, str, bytes]:
    """Target, file name and bytes of a case: they depend on the seed and the number alone."""
    r = random.Random(f"{seed}/{number}")  # noqa: S311 (repeatable, no secret)
    among = [t for t in TARGETS if not names or t.name in names]
    target = r.choices(among, [t.weight for t in among])[0]
    name, data = r.choice(target.files())
    return target, name, mutated(data, r)


def tried(target: Target, path: Path) -> str:
    """`read` or `refused`, else what went wrong and where."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.read(path)
    except EXPECTED:
        return "refused"
    except BaseException as e:
        frames = traceback.extract_tb(e.__traceback__)
        place = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in frames[::-1][:4])
        return f"{type(e).__name__}: {str(e)[:200]} ({place})"
    return "read"


def touched(root: Path, case: Path) -> str:
    """What a case did outside its own folder; empty where nothing."""
    if (root / "victim.txt").read_bytes() != VICTIM:
        return "another file was overwritten"
    strange = sorted(p.name for p in root.iterdir() if p not in (case, root / "victim.txt"))
    return f"files outside the case's folder: {', '.join(strange[:5])}" if strange else ""


def main(arguments: list[str]) -> int:
    """Run the cases; a line before each and one after, for whoever watches."""
    seed, first, count = map(int, arguments[:3])
    root, keep, names = Path(arguments[3]), arguments[4], [n for n in arguments[5].split(",") if n]
    faulthandler.enable()
    (root / "victim.txt").write_bytes(VICTIM)
    for number in range(first, first + count):
        target, name, data = drawn(seed, number, names)
        _say(number=number, target=target.name, begins=True)
        case = root / f"case{number}"
        case.mkdir()
        path = case / name
        path.write_bytes(data)
        outcome = tried(target, path)
        outcome = touched(root, case) or outcome
        if keep and outcome not in ("read", "refused"):
            (Path(keep) / f"{seed}-{number}-{name}").write_bytes(data)
        _say(number=number, target=target.name, outcome=outcome)
        shutil.rmtree(case, ignore_errors=True)
    return 0


def _say(**line: Any) -> None:
    sys.__stdout__.write(json.dumps(line) + "\n")  # type: ignore[union-attr]
    sys.__stdout__.flush()  # type: ignore[union-attr]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
