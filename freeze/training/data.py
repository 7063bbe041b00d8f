"""What the encoder learns from: labelled crops out of folders, archives, MOT sequences and tracklets.

`DIR/manifest.toml` lists the sources; a folder without one is one source of folders of identities::

    [[source]]
    kind = "names"                 # a folder or .tar of images named <identity>_c<camera>..., as Market-1501 has them
    path = "market1501_train.tar"
    holdout = 45                   # identities kept for validation
    share = 1.0                    # how often one of its identities is drawn, relative to other sources'

    [[source]]
    kind = "tracklets"             # a folder per track, images named by frame
    path = "tracklets/highway"

Kinds: `folders` (one per identity), `names`, `mot` (a sequence with gt/gt.txt and img1/), `tracklets`, `footage` (a
video, whose tracklets are found by the tracker) and `unlabelled` (a sequence with det/det.txt and its frames), whose
crops only a teacher tells of.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from freeze.training.crops import Crops
from freeze.training.errors import TrainDataError
from freeze.training.readers import GLOBAL, READERS, Item


@dataclass(frozen=True)
class Source:
    """One entry of the manifest."""

    kind: str
    path: Path
    holdout: int = 0
    share: float = 1.0


def read_manifest(folder: Path) -> list[Source]:
    """The sources of a data folder.

    Raises
    ------
    TrainDataError
        No folder, a manifest that is none, an unknown kind or a path that is not there.
    """
    path = folder / "manifest.toml"
    if not folder.is_dir():
        raise TrainDataError(f"{folder} is not a folder; give one with manifest.toml or with a folder per identity")
    if not path.exists():
        return [Source("folders", folder, holdout=max(1, sum(p.is_dir() for p in folder.iterdir()) // 10))]
    try:
        entries = tomllib.loads(path.read_text())["source"]
        sources = [Source(e.pop("kind"), folder / e.pop("path"), **e) for e in map(dict, entries)]
    except (ValueError, KeyError, TypeError, OSError) as e:
        raise TrainDataError(
            f"{path} is not a manifest ({e}); it lists [[source]] with kind, path, holdout and share"
        ) from e
    for source in sources:
        if source.kind not in READERS:
            raise TrainDataError(f"{path} has a source of kind {source.kind!r}; known: {', '.join(READERS)}")
        if not source.path.exists():
            raise TrainDataError(f"{path} names {source.path}, which is not there")
        if source.share <= 0 or source.holdout < 0:
            raise TrainDataError(
                f"{path} gives {source.path.name} share {source.share}, holdout {source.holdout}; "
                f"expected a share above 0 and a holdout of 0 or more"
            )
    return sources


def load(sources: list[Source], size: tuple[int, int], seed: int) -> Crops:
    """All crops of the sources, resized to `size` (height, width).

    Unreadable images and identities with a single image are skipped and listed.

    Raises
    ------
    TrainDataError
        Fewer than two identities are left to train on.
    """
    items: list[tuple[int, Item]] = []
    skipped: list[str] = []
    for number, source in enumerate(sources):
        found: dict[str, list[Item]] = {}
        for item in READERS[source.kind](source.path):
            if item.image is None:
                skipped.append(f"{item.name}: not a readable image")
            elif source.kind == "unlabelled":
                items.append((number, item))
            else:
                found.setdefault(item.identity, []).append(item)
        for identity, group in found.items():
            if len(group) < 2:
                skipped.append(f"{source.path.name}/{identity}: a single image")
            else:
                items.extend((number, i) for i in group)
    crops = assemble(sources, items, size, skipped)
    _hold_out(crops, sources, seed)
    left = int((~crops.held_out).sum())
    if left < 2:
        raise TrainDataError(
            f"{left} identities with two images or more are left to train on, at least 2 are needed "
            f"({len(skipped)} entries skipped)"
        )
    return crops


def assemble(sources: list[Source], items: list[tuple[int, Item]], size: tuple[int, int], skipped: list[str]) -> Crops:
    """Items, each with the number of its source, as arrays."""
    labelled = [(number, i.identity) for number, i in items if i.identity]
    keys = {key: n for n, key in enumerate(dict.fromkeys(labelled))}
    images = np.empty((len(items), *size, 3), np.uint8)
    identity = np.empty(len(items), np.int32)
    first, last = np.full(len(keys), np.iinfo(np.int64).max), np.full(len(keys), -1)
    for row, (number, item) in enumerate(items):
        images[row] = cv2.resize(item.image, size[::-1], interpolation=cv2.INTER_LINEAR)  # type: ignore[arg-type]
        identity[row] = k = keys.get((number, item.identity), -1)
        if k < 0:
            continue
        first[k], last[k] = min(first[k], item.frame), max(last[k], item.frame)
    source = np.array([number for number, _ in keys], np.int32)
    exclusive = np.array([sources[number].kind in GLOBAL for number, _ in keys], bool)
    together = (first[:, None] <= last) & (first <= last[:, None])
    differ = (source[:, None] != source) | (exclusive[:, None] & exclusive) | together
    np.fill_diagonal(differ, False)
    return Crops(
        images,
        identity,
        np.array([i.camera for _, i in items], np.int32),
        np.array([n for n, _ in items], np.int32),
        differ,
        exclusive,
        np.zeros(len(keys), bool),
        np.array([sources[number].share for number, _ in keys], np.float64),
        [f"{sources[number].path.name}/{name}" for number, name in keys],
        skipped,
    )


def _hold_out(crops: Crops, sources: list[Source], seed: int) -> None:
    """Marks the identities kept for validation, drawn by `seed` among those seen by two cameras or more."""
    for number, source in enumerate(sources):
        ids = [
            i
            for i in np.unique(crops.identity[(crops.scene == number) & (crops.identity >= 0)])
            if len(set(crops.camera[crops.identity == i])) > 1
        ]
        chosen = np.random.default_rng([seed, number]).permutation(ids)[: source.holdout]
        crops.held_out[chosen.astype(int)] = True
