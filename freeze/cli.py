"""The command line of the freeze stage."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

from freeze.errors import Log, UsageError, unexpected
from freeze.request import PRECISIONS, Request
from tracker.errors import TrackerError

DEFAULT_NETWORK = "striped"
"""Whose checkpoint it is where none of the sources is named."""
EPILOG = """Exit code 0: the graph, its contract (X.json) and a short report. 1: it cannot be frozen; the message says
why and what to do, and no file is left. 2: wrong usage. `python -m freeze inspect FILE` says what a file is,
`python -m freeze train` and `python -m freeze adapt VIDEO` make encoders."""


def parser() -> argparse.ArgumentParser:
    """The options of `python -m freeze`."""
    p = argparse.ArgumentParser(
        prog="python -m freeze", description="Freeze a trained encoder into one proved graph.", epilog=EPILOG
    )
    source = p.add_argument_group("source (one of)")
    source.add_argument("--meta", type=Path, metavar="M.meta", help="MetaGraph of a TensorFlow 1 training run")
    source.add_argument("--builder", metavar="FILE.py[:FUNCTION]", help="your script; build(images) -> features")
    source.add_argument("--network", metavar="NAME", help="a network known by name (wrn, cosine_metric_learning, ...)")
    source.add_argument("--keras", type=Path, metavar="FILE", help="whole Keras model, .keras or .h5")
    source.add_argument("--saved-model", type=Path, metavar="DIR", help="SavedModel folder")
    source.add_argument("--graphdef", type=Path, metavar="FILE.pb", help="a graph that is frozen already")
    more = p.add_argument_group("what belongs to it")
    more.add_argument("--checkpoint", type=Path, metavar="CKPT", help="prefix, one of its files, or its folder")
    more.add_argument("--custom-objects", type=Path, metavar="FILE.py", help="classes that the Keras model uses")
    more.add_argument("--signature", metavar="NAME", help="signature of the SavedModel")
    more.add_argument("--input", metavar="NAME", help="tensor that takes the images")
    more.add_argument("--output", metavar="NAME", help="tensor that holds the features")
    more.add_argument(
        "--image-shape", type=image_shape, metavar="HxWxC", help="size of a crop (default of builders 128x64x3)"
    )
    more.add_argument("--dtype", choices=("uint8", "float32"), help="what the builder is given (default uint8)")
    more.add_argument("--scale", type=ratio, metavar="1/255", help="factor on the pixels 0..255 before a float input")
    more.add_argument(
        "--bind",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="constant for a placeholder that nothing feeds",
    )
    more.add_argument(
        "--ema",
        choices=("auto", "yes", "no"),
        default="auto",
        help="use moving averages of a checkpoint (default auto: yes)",
    )
    more.add_argument(
        "--colour-order", choices=("bgr", "rgb"), help="order of the channels that the model is fed (default bgr)"
    )
    more.add_argument(
        "--unsafe", action="store_true", help="load Keras Lambda layers: they run code stored in the file"
    )
    result = p.add_argument_group("result")
    result.add_argument("--out", type=Path, metavar="X.pb", help="where the graph goes; its contract goes to X.json")
    result.add_argument(
        "--precision", choices=PRECISIONS, default="f32", help="arithmetic inside the graph (default f32)"
    )
    result.add_argument(
        "--no-repair", dest="repair", action="store_false", help="refuse where the arithmetic would have to be mended"
    )
    result.add_argument(
        "--tensorboard", type=Path, metavar="DIR", help="write the graph before and after for TensorBoard"
    )
    result.add_argument("--report", type=Path, metavar="FILE.json|FILE.html", help="write the findings and figures")
    return p


def image_shape(text: str) -> tuple[int, int, int]:
    """`128x64x3` or `128x64`."""
    parts = text.lower().replace(",", "x").split("x")
    if len(parts) not in (2, 3) or not all(p.strip().isdigit() and int(p) > 0 for p in parts):
        raise argparse.ArgumentTypeError(f"'{text}' is no HEIGHTxWIDTHxCHANNELS, for example 128x64x3")
    height, width, *channels = (int(p) for p in parts)
    return height, width, channels[0] if channels else 3


def ratio(text: str) -> float:
    """`1/255` or `0.0039`."""
    try:
        above, _, below = text.partition("/")
        value = float(above) / float(below or 1)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"'{text}' is no number, for example 1/255") from None
    return value


def request(args: argparse.Namespace) -> Request:
    """Raises UsageError for options that do not go together."""
    bind: dict[str, float] = {}
    for item in args.bind:
        name, _, value = item.partition("=")
        try:
            bind[name] = float({"true": "1", "false": "0"}.get(value.lower(), value))
        except ValueError:
            raise UsageError(f"--bind {item}: give NAME=NUMBER, or NAME=true / NAME=false") from None
    asked = Request(**{k: v for k, v in vars(args).items() if k != "bind"}, bind=bind)
    if not asked.source and asked.checkpoint is not None and asked.meta is None:
        asked = replace(asked, network=DEFAULT_NETWORK)  # what `train` and `adapt` write
    if not asked.source:
        raise UsageError(
            "give exactly one source: --meta, --builder, --network, --keras, --saved-model or --graphdef "
            "(--meta may stand beside a builder or network); see python -m freeze --help"
        )
    if asked.out is None:
        raise UsageError("say where the graph goes: --out X.pb")
    if asked.out.suffix != ".pb":
        raise UsageError(f"--out {asked.out}: the name must end in .pb")
    if asked.report is not None and asked.report.suffix not in (".json", ".html"):
        raise UsageError(f"--report {asked.report}: the name must end in .json or .html")
    return asked


def main(argv: list[str]) -> int:
    """Exit code: 0 done, 1 cannot be frozen, 2 wrong usage, 130 interrupted."""
    if argv[:1] == ["inspect"]:
        from freeze.report import inspect

        return inspect.main(argv[1:])
    if argv[:1] in (["train"], ["adapt"]):
        from importlib import import_module

        return int(import_module(f"freeze.{argv[0]}").main(argv[1:]))
    args = parser().parse_args(argv)
    log = Log()
    try:
        asked = request(args)
        _environment()
        from freeze.api import freeze
        from freeze.report.text import text

        contract = freeze(asked, log)
        print(text(asked, contract, log))
    except UsageError as e:
        print(f"error: {e}", file=sys.stderr)
        return 2
    except TrackerError as e:
        return _failed(e, log)
    except KeyboardInterrupt:
        return 130
    except Exception as e:  # a defect here, or TensorFlow's on this model: still no traceback and no file
        if os.environ.get("TRACKER_TRACEBACK"):
            raise
        return _failed(unexpected(e), log)
    return 0


def _failed(error: TrackerError, log: Log) -> int:
    from freeze.report.text import findings

    for line in findings(log):
        print(line, file=sys.stderr)
    print(f"error: {error}", file=sys.stderr)
    return 1


def _environment() -> None:
    """Freezing is done on the CPU: the same figures everywhere, and no GPU memory taken."""
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
