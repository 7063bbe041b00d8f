"""`python -m freeze train`: trains an encoder network of ours on a data folder."""

from __future__ import annotations

import os
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path

from freeze.training.config import TrainConfig
from freeze.training.errors import TrainError
from tracker.core.command_line import DONE, Parser, guarded

SHOWN = 10
"""Entries of the list of what was skipped."""
EPILOG = """DIR holds a folder of images per identity, or a manifest.toml that lists such folders, Market-1501 archives,
MOT sequences and tracklets. Interrupt at any time: the same command goes on where it stood, to the same weights."""


def parser() -> Parser:
    """The options of `python -m freeze train`."""
    default = {f.name: f.default for f in fields(TrainConfig)}
    p = Parser(
        prog="python -m freeze train", epilog=EPILOG, description="Train the appearance encoder on labelled crops."
    )
    p.add_argument("--data", type=Path, required=True, metavar="DIR", help="what to learn from")
    p.add_argument("--out", type=Path, required=True, metavar="CKPT", help="prefix of the checkpoint")
    p.add_argument("--network", default=default["network"], help="(default: %(default)s)")
    p.add_argument("--teacher", type=Path, metavar="FILE", help="network to distil from: OpenVINO .xml, or .onnx")
    p.add_argument("--start", type=Path, metavar="CKPT", help="checkpoint of the same network to start from")
    p.add_argument("--log", type=Path, metavar="DIR", help="write the measures for TensorBoard")
    numbers = p.add_argument_group("recipe")
    for name, text in (
        ("steps", "optimiser steps"),
        ("identities", "identities in a batch"),
        ("per-identity", "crops of each"),
        ("rate", "learning rate"),
        ("flat", "share of the steps before the rate falls"),
        ("warm-up", "steps until it is reached"),
        ("decay", "weight decay"),
        ("seed", "of everything random"),
        ("validate-every", "steps"),
        ("save-every", "steps"),
        ("threads", "within one operation; 0: as many as there are processors"),
    ):
        value = default[name.replace("-", "_")]
        numbers.add_argument(
            f"--{name}", type=type(value), default=value, metavar="N", help=f"{text} (default: %(default)s)"
        )
    return p


def main(argv: list[str]) -> int:
    """Exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted (the state is saved)."""
    args = parser().parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

    def act() -> int:
        train(TrainConfig(**vars(args)))
        return DONE

    return guarded(act, interrupted="interrupted; the same command goes on from here")


def train(config: TrainConfig) -> dict[str, float]:
    """One training with a progress bar; the best measures.

    Raises
    ------
    TrainError
        Data, state, settings or disk are at fault.
    """
    from tracker.core.tensorflow import import_tensorflow

    if config.log is not None and find_spec("tensorboard") is None:
        raise TrainError("--log writes for TensorBoard, which is not installed: pip install tensorboard")
    import_tensorflow()
    from freeze.training.loop import Training
    from freeze.training.progress import Progress

    training = Training(config)
    crops = training.crops
    print(
        f"{len(crops)} crops of {training.batches.classes} identities to learn from, {crops.held_out.sum()} more "
        f"held out, {len(crops.skipped)} entries skipped"
    )
    for line in crops.skipped[:SHOWN]:
        print(f"  skipped {line}")
    if len(crops.skipped) > SHOWN:
        print(f"  ... and {len(crops.skipped) - SHOWN} more, listed in {listed(crops.skipped, config)}")
    with Progress("training", config.log) as report:
        best = training.run(report)
    print(f"{config.out}: " + ", ".join(f"{name} {value:.4g}" for name, value in best.items()))
    return best


def listed(skipped: list[str], config: TrainConfig) -> Path:
    """Writes the whole list of what was skipped beside the checkpoint."""
    path = config.beside("skipped.txt")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(skipped) + "\n")
    except OSError as e:
        raise TrainError(f"cannot write {path} ({e.strerror}); give --out a folder that can be written to") from e
    return path
