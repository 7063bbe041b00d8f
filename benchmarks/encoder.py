"""`python -m benchmarks encoder`: encoders on identities they never saw, inside real sequences, and per second."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.encoders import ANCHORS, OURS, Encoder, open_encoder
from benchmarks.footage import frames, primer
from benchmarks.metrics import evaluate, figures, read_truth
from benchmarks.runtimes import open_runtimes
from freeze.training.augment import jitter
from freeze.training.evaluate import retrieval, separation
from freeze.training.readers import Item, cut, read_names
from tracker.errors import ConfigError

SEQUENCES = ("PETS09-S2L1", "TUD-Campus", "CDnet-highway-A")
BATCHES = (1, 2, 3, 4, 8, 16, 32)
PER_TRACK = 40
"""Crops of a track for the separation inside sequences."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options on a parser."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder with reid/, anchors/ and mot/")
    parser.add_argument(
        "--encoders", nargs="+", default=[*OURS, *ANCHORS], metavar="NAME|PATH.pb", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--identities",
        type=Path,
        metavar="FILE",
        help="identities to test on, archive.tar/identity, "
        "one a line (default: those held out when the default encoder was trained)",
    )
    parser.add_argument("--skip", nargs="+", default=[], choices=("reid", "sequences", "speed", "tracking"))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")


def main(args: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    encoders = [open_encoder(name, args.data) for name in args.encoders]
    crops = held_out_crops(args.data, args.identities)
    results: dict[str, Any] = {e.name: {} for e in encoders}
    if "reid" not in args.skip:
        print(
            f"re-identification across cameras: {len({c.identity for c in crops})} identities nobody of ours was "
            f"trained on, {len(crops)} crops; rank-1 / mAP"
        )
        _table(results, "reid", [reid(e, crops) for e in encoders], "{:.3f}")
    if "sequences" not in args.skip:
        print("inside sequences, ground truth boxes: probability that a crop is nearer to its own track (area), d'")
        _table(results, "sequences", [sequences(e, args.data / "mot") for e in encoders], "{:.3f}")
    if "speed" not in args.skip:
        print("crops a second of processor time, one thread, median of interleaved rounds, by batch")
        _table(results, "speed", speed(encoders), "{:.0f}")
        runtimes(encoders, results)
    if "tracking" not in args.skip:
        print("the tracker with each encoder, same detections")
        thresholds = [e.max_cosine_distance or calibrated(e, crops) for e in encoders]
        tracked = tracking(encoders, thresholds, args.data / "mot")
        results["none"] = {}
        _table(results, "tracking", tracked, "{:.1f}")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0


def _table(results: dict[str, Any], section: str, rows: list[dict[str, float]], form: str) -> None:
    """Prints one measure a line, one encoder a column, and keeps the figures."""
    for name, row in zip(results, rows, strict=True):
        results[name][section] = row
    print(f"{'':34}" + "".join(f"{name[-14:]:>16}" for name in results))
    for measure in rows[0]:
        print(f"  {measure:32}" + "".join(f"{form.format(row[measure]):>16}" for row in rows))
    print(flush=True)


def held_out_crops(data: Path, names: Path | None) -> list[Item]:
    """Crops of the identities that were kept from training. Raises ConfigError where there are none."""
    from freeze.training.adapt import facts_of, shipped

    wanted = set(names.read_text().split() if names else facts_of(shipped()).get("held_out_identities", ()))
    archives = sorted((data / "reid").glob("*.tar")) if (data / "reid").is_dir() else []
    crops = [c for a in archives for c in read_names(a) if f"{a.name}/{c.identity}" in wanted and c.image is not None]
    if not crops:
        raise ConfigError(
            f"{data / 'reid'} has no crops of the identities held out ({len(wanted)} known); give the "
            f"archive that the encoder was trained on, or --identities"
        )
    return crops


def variants() -> dict[str, Callable[[np.ndarray, np.random.Generator, np.ndarray], np.ndarray]]:
    """What is done to the crops; the third argument is another crop, to stand in front."""

    def small(crop: np.ndarray, rng: np.random.Generator, _: np.ndarray) -> np.ndarray:
        return cv2.resize(cv2.resize(crop, (14, 28), interpolation=cv2.INTER_AREA), (64, 128))

    def covered(crop: np.ndarray, rng: np.random.Generator, other: np.ndarray) -> np.ndarray:
        crop = crop.copy()
        if rng.random() < 0.5:
            crop[80:] = other[:48]
        else:
            crop[:, :26] = other[:, 38:]
        return crop

    return {
        "clean": lambda crop, rng, other: crop,
        "28 pixels high": small,
        "two fifths covered": covered,
        "box off": lambda crop, rng, other: jitter(crop, rng, 1.3),
    }


def reid(encoder: Encoder, crops: list[Item]) -> dict[str, float]:
    """Rank-1 and mAP on clean and on spoilt crops; queries and gallery are spoilt alike."""
    identity = np.unique([c.identity for c in crops], return_inverse=True)[1]
    camera = np.array([c.camera for c in crops])
    images = [cv2.resize(np.asarray(c.image), (64, 128)) for c in crops]
    measures: dict[str, float] = {}
    for name, spoil in variants().items():
        rng = np.random.default_rng(0)
        others = rng.permutation(len(images))
        spoilt = [spoil(image, rng, images[o]) for image, o in zip(images, others, strict=True)]
        found = retrieval(encoder.encode(_fitted(spoilt, encoder)), identity, camera)
        measures |= {f"{name}: rank-1": found.rank1, f"{name}: mAP": found.mean_average_precision}
    return measures


def _fitted(crops: list[np.ndarray], encoder: Encoder) -> np.ndarray:
    return np.stack([cv2.resize(c, encoder.shape[::-1], interpolation=cv2.INTER_LINEAR) for c in crops])


def calibrated(encoder: Encoder, crops: list[Item]) -> float:
    """The matching threshold by the rule that ours was given: a track is what one camera saw of an identity."""
    features = encoder.encode(_fitted([np.asarray(c.image) for c in crops], encoder))
    camera = np.array([c.camera for c in crops])
    track = np.unique([f"{c.identity}/{c.camera}" for c in crops], return_inverse=True)[1]
    return separation(features, track, camera).threshold()


def sequences(encoder: Encoder, mot: Path) -> dict[str, float]:
    """Separation of same-track and other-track distances on ground-truth boxes; tracks in view together differ."""
    measures: dict[str, float] = {}
    for name in SEQUENCES:
        truth = read_truth(mot / name)
        rows = truth.rows[truth.counts & (truth.rows[:, 5] >= 10)]
        ids, track = np.unique(rows[:, 1], return_inverse=True)
        keep = np.concatenate(
            [
                np.flatnonzero(track == i)[np.linspace(0, n - 1, min(n, PER_TRACK)).astype(int)]
                for i, n in enumerate(np.bincount(track))
            ]
        )
        first = np.array([rows[track == i, 0].min() for i in range(len(ids))])
        last = np.array([rows[track == i, 0].max() for i in range(len(ids))])
        together = (first[:, None] <= last) & (first <= last[:, None])
        crops: dict[int, np.ndarray] = {}
        for number, image in enumerate(frames(mot / name), 1):
            for row in keep[rows[keep, 0] == number]:
                if (crop := cut(image, rows[row, 2:6])) is not None:
                    crops[int(row)] = crop
        order = np.array(sorted(crops, key=lambda r: (track[r], rows[r, 0])))
        features = encoder.encode(_fitted([crops[int(r)] for r in order], encoder))
        apart = separation(features, track[order], np.zeros(len(order), int), together)
        measures |= {f"{name}: area": apart.area(), f"{name}: d'": apart.decidability()}
    return measures


def speed(encoders: list[Encoder], rounds: int = 7, crops: int = 64) -> list[dict[str, float]]:
    """Crops a second of processor time; encoders take turns batch by batch, as noise then falls on all alike."""
    rng = np.random.default_rng(0)
    taken: dict[tuple[int, int], list[float]] = {}
    inputs = [rng.integers(0, 256, (max(BATCHES), *e.shape, 3)).astype(np.uint8) for e in encoders]
    for turn in range(rounds + 1):
        for batch in BATCHES:
            for i, encoder in enumerate(encoders):
                times = max(1, crops // batch)
                began = time.process_time()
                for _ in range(times):
                    encoder.encode(inputs[i][:batch])
                if turn:  # the first round warms up
                    taken.setdefault((i, batch), []).append(times * batch / (time.process_time() - began))
    return [{f"batch {b}": float(np.median(taken[i, b])) for b in BATCHES} for i in range(len(encoders))]


def runtimes(encoders: list[Encoder], results: dict[str, Any]) -> None:
    """Prints the speed of the first frozen graph beside that of the other runtimes that are installed."""
    first = next((e for e in encoders if e.path is not None), None)
    if first is None or first.path is None:
        return
    found = {n: Encoder(n, encode, first.shape) for n, encode in open_runtimes(first.path).items()}
    rows = speed(list(found.values()))
    print(f"the graph of {first.name} in other runtimes, crops a second of processor time, one thread")
    table: dict[str, Any] = {name: {} for name in found}
    _table(table, "speed", rows, "{:.0f}")
    ours = [r for n, r in zip(found, rows, strict=True) if n.startswith("ours")]
    others = [r for n, r in zip(found, rows, strict=True) if not n.startswith("ours")]
    if others:
        ratio = {b: max(r[b] for r in ours) / max(r[b] for r in others) for b in rows[0]}
        print("  ours to the best other: " + ", ".join(f"{b} {r:.2f}" for b, r in ratio.items()) + "\n")
        table["ratio"] = ratio
    results[first.name]["runtimes"] = table


def tracking(encoders: list[Encoder], thresholds: list[float], mot: Path) -> list[dict[str, float]]:
    """HOTA, AssA, IDF1 and IDSW with every encoder and, last, with none; the paper's AssA at each encoder's threshold.

    Detections come from det/det.txt, or from the motion detector where a sequence has none.
    """
    from detectors.registry import open_detector
    from tracker.core.types import Frame
    from tracker.encoder.crops import CropBuffer
    from tracker.tracking.tracker import DeepSort

    measures: list[dict[str, float]] = [{"threshold": t} for t in [*thresholds, float("nan")]]
    for name in SEQUENCES:
        folder = mot / name
        public = folder / "det" / "det.txt"
        detector = open_detector(str(public)) if public.exists() else open_detector("motion", frames=primer(folder))
        columns = len(encoders) + 1
        trackers = [DeepSort.from_preset("default") for _ in range(columns)]
        trackers += [DeepSort.from_preset("paper", max_cosine_distance=t) for t in thresholds]
        trackers.append(DeepSort.from_preset("paper"))
        cutters = [CropBuffer((*e.shape, 3)) for e in encoders]
        rows: list[list[list[float]]] = [[] for _ in trackers]
        for index, image in enumerate(frames(folder), 1):
            size = (image.shape[1], image.shape[0])
            found = detector(Frame(index, index / 25, image, size))
            features: list[np.ndarray | None] = [None] * columns
            if found is not None:
                features[:-1] = [e.encode(c.cut([(image, found.xyxy)])) for e, c in zip(encoders, cutters, strict=True)]
            for i, tracker in enumerate(trackers):
                tracks = tracker.update(found, features[i % columns], frame_size=size).written
                rows[i] += [[index, t, *b[:2], *(b[2:] - b[:2])] for t, b in zip(tracks.id, tracks.xyxy, strict=True)]
        detector.close()
        truth = read_truth(folder)
        scores = [figures(evaluate(truth, np.array(table, float).reshape(-1, 6))) for table in rows]
        for i in range(columns):
            measures[i] |= {f"{name}: {m}": scores[i][m] for m in ("HOTA", "AssA", "IDF1", "IDSW")}
            measures[i] |= {f"{name}: AssA, paper preset": scores[columns + i]["AssA"]}
    return measures
