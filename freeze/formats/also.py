"""`--also`: writes the proved encoder for other runtimes, each proved against the frozen graph on the same images."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from freeze.errors import FreezeError, Log
from freeze.formats import calibration, convert
from freeze.formats.run import Model
from freeze.graph.graphdef import GraphDef
from freeze.graph.runner import Runner
from freeze.job import INPUT, OUTPUT
from freeze.request import Request
from freeze.training.evaluate import retrieval
from tracker.core.vectors import unit_vectors
from tracker.encoder.contract import Contract, contract_path, sha256

TOLERANCE = 1e-4
"""Absolute, on features of unit length: runtimes add in other orders, so less than the proof's own 1e-5 is asked."""
LEAST_COSINE, RANK1_LOSS = 0.95, 0.01
"""Of 8-bit integers: mean cosine to the float features, and how much of rank-1 they may cost (Jacob et al., 1712.05877,
lose a percent of accuracy)."""
BATCH = 16
INTEGER = ("openvino", "tflite")
"""Formats that are written in 8-bit integers under --precision int8."""


def write_also(request: Request, graph_def: GraphDef, images: np.ndarray, contract: Contract, log: Log) -> list[str]:
    """Writes every format of `request.also` beside `request.out`.

    Parameters
    ----------
    request : Request
        What is asked for.
    graph_def : GraphDef
        The proved float32 graph.
    images : ndarray
        Crops of the proof, as the graph is fed.
    contract : Contract
        Of the frozen graph.
    log : Log
        Told of every format written, and why one is not.

    Returns
    -------
    list[str]
        Formats that were not written.
    """
    out, lost = Path(str(request.out)), []
    given = None
    if request.precision == "int8":
        given = calibration.read(str(request.calibrate), contract.input_shape, contract.colour_order)
        people = f" of {len(set(given.identity))} identities" if given.identity[0] >= 0 else ""
        log.note("CALIBRATION_CROPS", f"8-bit integers are judged on {len(given.crops)} crops{people}")
    with Runner(graph_def) as runner:
        for name in request.also:
            integer = given if name in INTEGER else None
            try:
                with tempfile.TemporaryDirectory(prefix=f".{out.stem}-", dir=out.parent) as folder:
                    target = Path(folder) / f"{out.stem}{convert.SUFFIXES[name]}"
                    convert.convert(name, graph_def, target, integer.sample if integer else None)
                    figures = _prove(name, target, runner, images, integer)
                    _published(target, _contract(contract, name, target, figures, integer is not None), out)
            except FreezeError as e:
                lost.append(name)
                log.warn(e.code, f"{name} is not written: {e.cause} ({e.remedy})", [name])
            else:
                log.note("FORMAT_WRITTEN", _told(out.with_suffix(convert.SUFFIXES[name]), figures))
    return lost


def _prove(
    name: str, target: Path, runner: Runner, images: np.ndarray, given: calibration.Calibration | None
) -> dict[str, Any]:
    """Figures of a written model against the frozen graph.

    Raises
    ------
    FreezeError
        FORMAT_DIFFERS, FORMAT_FAILED.
    """
    try:
        model = Model(name, target)
        whole = model(images)
        parts = {n: np.concatenate([model(images[i : i + n]) for i in range(0, len(images), n)]) for n in (1, 2)}
        crops = images if given is None else given.crops
        features = whole if given is None else _batched(model, crops)
    except Exception as e:  # runtimes raise kinds of their own
        cause = f"{name} cannot run what was written: {type(e).__name__}: {str(e)[:300]}"
        raise FreezeError("FORMAT_FAILED", cause, f"leave {name} out of --also", [name]) from None
    expected = _batched(lambda x: np.asarray(runner.run(OUTPUT, {INPUT: x})), crops)
    if features.shape != expected.shape:
        cause = f"{name} gives features of shape {features.shape}, the frozen graph {expected.shape}"
        raise FreezeError("FORMAT_DIFFERS", cause, f"leave {name} out of --also", [name])
    cosine = (unit_vectors(features) * unit_vectors(expected)).sum(1)
    figures: dict[str, Any] = {
        "against": "the frozen graph",
        "inputs": len(crops),
        "max_abs_difference": float(np.abs(features - expected).max()),
        "least_cosine": float(cosine.min()),
        "mean_cosine": float(cosine.mean()),
        "batches": [1, 2, len(images)],
        "batch_difference": float(max(np.abs(p - whole).max() for p in parts.values())),
    }
    if given is not None:
        for key, f in (("rank1", features), ("rank1_f32", expected)):
            labelled = given.identity[0] >= 0
            figures[key] = retrieval(unit_vectors(f), given.identity, given.camera).rank1 if labelled else None
    _check(name, figures, given is not None)
    return figures


def _batched(run: Callable[[np.ndarray], np.ndarray], crops: np.ndarray) -> np.ndarray:
    return np.concatenate([run(crops[i : i + BATCH]) for i in range(0, len(crops), BATCH)])


def _check(name: str, figures: dict[str, Any], integer: bool) -> None:
    """Raises FORMAT_DIFFERS where the figures are not good enough."""
    bad = ""
    if figures["batch_difference"] > TOLERANCE:
        bad = f"batches of 1, 2 and {figures['batches'][-1]} differ by {figures['batch_difference']:.2g}"
    elif not integer and figures["max_abs_difference"] > TOLERANCE:
        bad = f"it differs from the frozen graph by {figures['max_abs_difference']:.2g} ({TOLERANCE:g} is allowed)"
    elif integer and figures["mean_cosine"] < LEAST_COSINE:
        bad = f"the mean cosine to the float32 features is {figures['mean_cosine']:.4f} ({LEAST_COSINE} is needed)"
    elif integer and figures["rank1"] is not None and figures["rank1"] < figures["rank1_f32"] - RANK1_LOSS:
        bad = f"rank-1 falls from {figures['rank1_f32']:.3f} to {figures['rank1']:.3f} on the given crops"
    if bad:
        raise FreezeError("FORMAT_DIFFERS", f"the proof of {name} fails: {bad}", f"leave {name} out of --also", [name])


def _contract(contract: Contract, name: str, target: Path, figures: dict[str, Any], integer: bool) -> Contract:
    provenance = {**contract.provenance, "format": name, "frozen_graph_sha256": contract.graph_sha256}
    return replace(
        contract,
        graph_sha256=sha256(target),
        precision="int8" if integer else "f32",
        proof=figures,
        provenance=provenance,
    )


def _published(target: Path, contract: Contract, out: Path) -> None:
    """Moves a model and its contract beside `out`; the old contract goes first.

    Raises
    ------
    FreezeError
        OUTPUT_NOT_WRITABLE.
    """
    files = [target, target.with_suffix(".bin")] if target.suffix == ".xml" else [target]
    try:
        final = out.parent / target.name
        contract_path(final).unlink(missing_ok=True)
        for file in files:
            place = out.parent / file.name
            if place.is_dir():
                shutil.rmtree(place)
            file.replace(place)
        contract_path(final).write_text(contract.to_json())
    except OSError as e:
        raise FreezeError(
            "OUTPUT_NOT_WRITABLE", f"{out.parent / target.name} cannot be written: {e.strerror}", "give another --out"
        ) from None


def _told(path: Path, figures: dict[str, Any]) -> str:
    text = (
        f"{path.name}: max |difference| to the frozen graph {figures['max_abs_difference']:.2g}, cosine at least "
        f"{figures['least_cosine']:.6f} on {figures['inputs']} images, batches of "
        f"{', '.join(map(str, figures['batches']))} agree within {figures['batch_difference']:.2g}"
    )
    if figures.get("rank1") is not None:
        text += f"; rank-1 {figures['rank1']:.3f} in 8-bit integers, {figures['rank1_f32']:.3f} in float32"
    return text
