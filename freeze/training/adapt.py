"""`python -m freeze adapt`: fits the encoder to the user's own camera, without labels."""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from freeze.training.errors import TrainDataError
from tracker.core.command_line import DONE, Parser, guarded
from tracker.core.tensorflow import import_tensorflow

if TYPE_CHECKING:
    from freeze.training.crops import Crops

EPILOG = """The tracker follows what moves; tracks that are long, whole and uncovered are what is learnt from. Each
third of them, or each pair where they are few, judges what was learnt from the others: if they are told apart no
better, nothing is written. Use the result with `python -m tracker run VIDEO --checkpoint CKPT`."""


def parser() -> Parser:
    """The options of `python -m freeze adapt`."""
    p = Parser(prog="python -m freeze adapt", description="Fit the encoder to your own footage.", epilog=EPILOG)
    p.add_argument("videos", nargs="+", type=Path, metavar="VIDEO", help="footage of the scene, the more the better")
    p.add_argument(
        "--out",
        type=Path,
        default=Path("adapted.ckpt"),
        metavar="CKPT",
        help="prefix of the adapted checkpoint (default: %(default)s)",
    )
    p.add_argument(
        "--minutes",
        type=float,
        default=5.0,
        metavar="N",
        help="time for fine-tuning, tried from nine objects on (default: %(default)g)",
    )
    p.add_argument("--detector", default="auto", help="as in `python -m tracker run` (default: auto)")
    p.add_argument("--checkpoint", type=Path, metavar="CKPT", help="encoder to start from (default: the shipped one)")
    p.add_argument("--seed", type=int, default=0, metavar="N", help="of everything random (default: %(default)s)")
    return p


def main(argv: list[str]) -> int:
    """Exit code: 0 adapted and better, 1 refused, failed or no better, 2 wrong usage, 130 interrupted."""
    p = parser()
    args = p.parse_args(argv)
    if not args.minutes > 0:
        p.error(f"--minutes {args.minutes:g}; expected a number above 0")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return guarded(lambda: adapt(args), interrupted="interrupted; nothing was written")


def adapt(args: argparse.Namespace) -> int:
    """Mines, adapts, judges, and writes what is better. Raises TrainError."""
    from freeze.networks import striped
    from freeze.training.files import read_weights, write_checkpoint
    from freeze.training.finetune import adapted

    crops = _mined(args)
    import_tensorflow()
    from freeze.training.model import variable_shapes
    from freeze.training.progress import Progress

    origin = args.checkpoint or shipped()
    weights = read_weights(origin, variable_shapes())
    with Progress("adapting", None) as report:
        result, gain = adapted(crops, weights, args.minutes * 60, args.seed, report)
    before, after = gain.before, gain.after
    print(
        f"tracklets not learnt from are told apart with d' {before.decidability():.2f} before, "
        f"{after.decidability():.2f} after; area under ROC {before.area():.4f} before, {after.area():.4f} after"
    )
    if not gain.kept():
        raise TrainDataError(
            "the adapted encoder is no better on tracklets not learnt from, so nothing is written; "
            "the shipped one stays the best known, or give more footage"
        )
    base = facts_of(origin)
    facts: dict[str, Any] = {
        "network": striped.NAME,
        "adapted_from": base.get("measures"),
        "videos": [v.name for v in args.videos],
        "tracklets": len(crops.held_out),
        "crops": len(crops),
        "decidability": [before.decidability(), after.decidability()],
        "area": [before.area(), after.area()],
        "max_cosine_distance": threshold(base.get("max_cosine_distance"), after.threshold()),
    }
    write_checkpoint(args.out, result, facts)
    print(f"written: {args.out}; use it with: python -m tracker run VIDEO --checkpoint {args.out}")
    return DONE


def _mined(args: argparse.Namespace) -> Crops:
    """Crops of what the tracker followed; too few are told before TensorFlow is loaded. Raises TrainDataError."""
    from freeze.networks import striped
    from freeze.training import mine
    from freeze.training.finetune import folds

    videos = []
    with tempfile.TemporaryDirectory() as folder:
        for number, video in enumerate(args.videos):
            videos.append((video, mine.footage(video, Path(folder) / str(number), args.detector)))
    crops = mine.crops_of(videos, striped.INPUT_SHAPE[:2])
    folds(crops, args.seed)
    return crops


def shipped() -> Path:
    """Prefix of the checkpoint that ships with the program."""
    from freeze.networks import striped

    return Path(__file__).parents[1] / "weights" / striped.NAME


def facts_of(prefix: Path) -> dict[str, Any]:
    """What stands in the .json beside a checkpoint; empty where there is none."""
    try:
        return dict(json.loads(prefix.with_name(f"{prefix.name}.json").read_text()))
    except (OSError, ValueError):
        return {}


def threshold(base: float | None, measured: float) -> float | None:
    """The matching threshold after adapting: the measured one, kept near the old one, since few tracklets measured."""
    if base is None or not math.isfinite(measured):
        return base
    return round(float(np.clip(measured, 0.75 * base, 1.25 * base)), 4)
