"""A few hundred fuzzed cases, those of the past that failed, and that the fuzzer itself sees failures."""

import json
import random
import struct
from pathlib import Path

import pytest

from tests.fuzz import targets, worker
from tests.fuzz.__main__ import Fuzzer
from tests.fuzz.mutate import mutated
from tracker.core import child

NEVER_REFUSED = ("address", "outbox", "today")
LIGHT = (
    "detections,labels,seqinfo,config,scene,address,contract,pictures,videos,tarball,run,mot,text,outbox,today,playlist"
)


def mov(*boxes):
    return b"".join(struct.pack(">I", 8 + len(data)) + kind + data for kind, data in boxes)


def unknown_codec():
    """A video whose codec nobody knows: the container has a stream, the stream no decoder."""
    name, data = next(v for v in targets.videos() if v[0].endswith(".mov"))
    return name, data.replace(b"jpeg", b"zzzz")


CORPUS = {
    "labels: a class that is infinite": ("labels", lambda: ("labels.txt", b"1e309 0.5 0.5 0.1 0.1\n")),
    "detections: a frame number beyond float": ("detections", lambda: ("a.txt", b"1e400,-1,1,1,1,1\n")),
    "detections: JSON nested deep": ("detections", lambda: ("d.json", b"[" * 100_000)),
    "videos: a codec that nobody knows": ("videos", unknown_codec),
    "videos: a box longer than the file": ("videos", lambda: ("a.mp4", mov((b"ftyp", b"isom")) + b"\xff" * 12)),
    "pictures: a bitmap of 4 billion pixels": ("pictures", lambda: ("a.bmp", b"BM" + b"\xff" * 60)),
    "seqinfo: a name that leads elsewhere": (
        "seqinfo", lambda: ("seqinfo.ini", targets.SEQINFO.replace(b"name=S", b"name=../../victim"))
    ),
    "seqinfo: pictures elsewhere": (
        "seqinfo", lambda: ("seqinfo.ini", targets.SEQINFO.replace(b"img1", b"../../../etc"))
    ),
    "seqinfo: a rate that no clock has": (
        "seqinfo", lambda: ("seqinfo.ini", targets.SEQINFO.replace(b"frameRate=25", b"frameRate=1e-300"))
    ),
    "config: nested deep": ("config", lambda: ("c.toml", b"[run]\nclasses = " + b"[" * 3000 + b"]" * 3000)),
    "config: a number of 5000 digits": ("config", lambda: ("c.toml", b"[tracker]\nmax_age = " + b"9" * 5000)),
    "scene: a number of 5000 digits": ("scene", lambda: ("s.toml", b"format = " + b"9" * 5000)),
    "config: infinite": ("config", lambda: ("c.toml", b"[run]\nreconnect = inf\n")),
    "contract: nested deep": ("contract", lambda: ("e.json", b"[" * 100_000)),
    "contract: a feature of a billion numbers": (
        "contract", lambda: ("e.json", targets.contracts()[0][1].replace(b'n": 128', b'n": 999999999'))
    ),
}  # fmt: skip
"""Files that once crashed, hung, or were misread: target, and what makes name and bytes."""


@pytest.mark.parametrize("what", CORPUS)
def test_what_once_failed_is_read_or_refused(tmp_path, what):
    name, make = CORPUS[what]
    target = next(t for t in targets.TARGETS if t.name == name)
    (tmp_path / "victim.txt").write_bytes(worker.VICTIM)
    case = tmp_path / "case"
    case.mkdir()
    file, data = make()
    (case / file).write_bytes(data)
    assert worker.tried(target, case / file) in ("read", "refused")
    assert not worker.touched(tmp_path, case)


@pytest.mark.parametrize("target", [t for t in targets.TARGETS if t.name in LIGHT.split(",")], ids=lambda t: t.name)
def test_every_undamaged_file_is_read(tmp_path, target):
    for number, (name, data) in enumerate(target.files()):
        case = tmp_path / str(number)
        case.mkdir()
        (case / name).write_bytes(data)
        assert worker.tried(target, case / name) == "read", name


def test_a_few_hundred_damaged_files():
    fuzzer = Fuzzer(20, LIGHT)
    fuzzer.run(300)
    assert not fuzzer.failures and sum(fuzzer.outcomes.values()) == 300
    assert all(fuzzer.outcomes[name, "refused"] for name in LIGHT.split(",") if name not in NEVER_REFUSED)


def test_cases_repeat():
    a, b = (worker.drawn(3, 17, ["config"]) for _ in range(2))
    assert a == b and a != worker.drawn(4, 17, ["config"])


@pytest.mark.parametrize(
    "body, words",
    [("raise KeyError('x')", "KeyError"), ("(path.parents[1] / 'victim.txt').write_text('gone')", "overwritten"),
     ("(path.parents[1] / 'new').touch()", "outside"), ("import os; os.kill(os.getpid(), 11)", "SIGSEGV")],
)  # fmt: skip
def test_the_fuzzer_sees_what_fails(tmp_path, monkeypatch, body, words):
    """A parser that misbehaves on every file, in a process as the fuzzer makes it."""
    source = Path(worker.__file__).read_text()
    read = f"def bad(path):\n    {body}\n\nTARGETS = (Target('bad', lambda: [('a', b'1')], bad),)\n"
    (tmp_path / "worker_bad.py").write_text(source.replace("VICTIM =", f"{read}\nVICTIM =", 1))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "root").mkdir()
    try:
        done = child.run("worker_bad", ["0", "0", "1", str(tmp_path / "root"), "", ""], seconds=60)
        said = json.loads(done.stdout.splitlines()[-1])["outcome"]
    except child.EndedError as e:
        said = str(e)
    assert words in said


def test_damage_is_damage():
    data = bytes(range(256))
    made = [mutated(data, random.Random(k)) for k in range(200)]  # noqa: S311 (repeatable, no secret)
    assert sum(m != data for m in made) > 190 and len(set(made)) > 180
