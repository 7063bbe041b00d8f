"""The models of a batch as bytes: prepared once, carried to every worker, unpacked into its cache."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from tracker.app.config import RunConfig
from tracker.app.encoders import frozen_encoder
from tracker.core.files import cache_folder, write_atomic
from tracker.core.interfaces import Say
from tracker.errors import ConfigError, SourceError, TrackerError

SHIPPED = "shipped"
"""Folder of the cache for files of the user's own, by hash."""


@dataclass(frozen=True)
class Bundle:
    """Files by their place in the cache, and the configuration that uses them there."""

    files: dict[str, bytes]
    config: RunConfig

    def unpack(self) -> RunConfig:
        """Put what this machine's cache lacks into it; the configuration with this machine's paths."""
        root = cache_folder()
        for name, data in self.files.items():
            path = root / name
            if not path.is_file() or path.stat().st_size != len(data):
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomic(path, data)
        c, own = self.config, f"{SHIPPED}/"
        detector, encoder = (str(root / p) if p.startswith(own) else p for p in (c.detector, c.encoder))
        return replace(c, detector=detector, encoder=encoder)


def pack(config: RunConfig, say: Say) -> Bundle:
    """Freeze and fetch what the configuration names, and gather the files.

    Raises
    ------
    TrackerError
        An encoder cannot be frozen, or a file is not there.
    """
    root = cache_folder()
    files: dict[str, bytes] = {}
    if config.wants_encoder:
        _, encoder = frozen_encoder(config, say)
        config = replace(config, freeze={}, encoder=_ship(files, encoder, encoder.with_suffix(".json")))
    if config.detector in ("auto", "coco"):
        from detectors import store

        try:
            if not config.offline:
                store.fetch("coco")
        except TrackerError:
            if config.detector == "coco":
                raise
        if store.is_kept("coco"):
            folder = store.model_path("coco").parent
            files |= {str(p.relative_to(root)): p.read_bytes() for p in sorted(folder.iterdir()) if p.is_file()}
        config = replace(config, offline=True)
    elif Path(config.detector).suffix:
        if config.detector.endswith(".txt"):
            raise ConfigError(
                f"detector {config.detector}: detections of one video; expected a detector for all videos"
            )
        config = replace(config, detector=_ship(files, Path(config.detector)))
    return Bundle(files, config)


def _ship(files: dict[str, bytes], path: Path, *beside: Path) -> str:
    """Take a file, and those beside it that are there, under a name made of its content."""
    try:
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()[:20]
        for each in (path, *(p for p in beside if p.is_file())):
            files[f"{SHIPPED}/{digest}/{each.name}"] = each.read_bytes()
    except OSError as e:
        raise SourceError(f"{path}: cannot be read ({e.strerror}); check the path") from None
    return f"{SHIPPED}/{digest}/{path.name}"
