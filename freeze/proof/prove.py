"""The proof: the frozen bytes give what the live model gives.

Row by row, in every batch, in this process and in a fresh one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from freeze.errors import FreezeError, tensorflow_words
from freeze.export import only_constants
from freeze.graph.graphdef import Graph, GraphDef, computes_in_half, node_name, pruned
from freeze.graph.images import structured
from freeze.graph.runner import Runner
from freeze.job import INPUT, OUTPUT, Job
from freeze.passes import ARITHMETIC
from freeze.proof import rounding
from freeze.proof.reload import CannotLoadError, FreshProcess
from tracker.core.tensorflow import import_tensorflow

HALF_TOLERANCE = 1e-3  # where the model itself computes in half precision: one step of float16 below 1 is 5e-4
COUNT = 7


def live_features(job: Job, images: np.ndarray) -> tuple[np.ndarray, str]:
    """Features of the live model, and which route gave them.

    The untouched model (fed with the inference values of its own switches) where its arithmetic was not mended; else
    the mended
    graph before its variables became constants.
    """
    untouched = pruned(job.full, [job.output])
    fed = {node_name(job.input), *(job.feeds or {})}
    unfed = any(n.op in ("Placeholder", "PlaceholderV2") and n.name not in fed for n in untouched.node)
    if job.repaired_only or job.log.codes() & ARITHMETIC or (unfed and job.model.live is None):
        with Runner(job.repaired_graph, job.values) as runner:
            return runner.run(job.head_before, {INPUT: images}), "the mended graph with its variables as variables"
    x = images.astype(job.input_dtype.as_numpy_dtype if job.input_dtype.is_integer else np.float32)
    if job.scale is not None:
        x = (x * np.float32(job.scale)).astype(job.input_dtype.as_numpy_dtype)
    if job.channels_first:
        x = x.transpose(0, 3, 1, 2)
    if job.model.live is not None:
        raw = job.model.live(x)
        route = (
            "the loaded model after its configuration was mended" if job.model.repaired else "the loaded model itself"
        )
    else:
        feeds = {k: v for k, v in (job.feeds or {}).items() if k in Graph(untouched)}
        with Runner(untouched, job.values, job.model.initializers) as runner:
            raw = runner.run(job.output, {job.input: x, **feeds})
        route = "the untouched graph with its variables"
    raw = np.asarray(raw).astype(np.float64).reshape(len(images), -1)
    if "OUTPUT_NOT_NORMALISED" in job.log.codes():
        raw = raw / np.sqrt(1e-8 + np.square(raw).sum(1, keepdims=True))
    return raw.astype(np.float32), route + (", switches fed" if job.feeds else "")


@dataclass
class Proof:
    """Figures for contract and report, and what they were computed on."""

    figures: dict[str, Any]
    images: np.ndarray
    expected: np.ndarray


def prove(job: Job, graph_def: GraphDef) -> Proof:
    """Every check of the frozen graph in this process.

    Raises
    ------
    FreezeError
        PROOF_FAILED, CONSTANT_FEATURES: no file may be written.
    """
    left = only_constants(graph_def)
    if left:
        cause = "the frozen graph still holds variables, random numbers or placeholders"
        raise FreezeError("PROOF_FAILED", cause, "please report this", left)
    images = structured(COUNT, job.input_shape)
    expected, route = live_features(job, images)
    figures: dict[str, Any] = {"inputs": COUNT, "live_route": route}
    with Runner(graph_def) as runner:

        def run(x: np.ndarray) -> np.ndarray:
            return np.asarray(runner.run(OUTPUT, {INPUT: x}))

        def allow(features: np.ndarray) -> float:
            if computes_in_half(job.graph):
                return HALF_TOLERANCE
            figures["moved_by_last_digits"] = rounding.moved_by_last_digits(graph_def, images, features)
            return rounding.allowed(figures["moved_by_last_digits"])

        figures |= check_features(run, images, expected, allow)
    difference, tolerance = figures["max_abs_difference"], figures["tolerance"]
    if difference > tolerance:
        raise _failed(
            f"the frozen graph differs from the live model by {difference:.3g} ({tolerance:g} is allowed)", job
        )
    return Proof(figures, images, expected)


def reload(path: Path, proof: Proof, job: Job, fresh: FreshProcess | None = None) -> None:
    """The file through the tracker's own loader in a fresh process; adds `reload_difference` to the figures.

    Parameters
    ----------
    fresh : FreshProcess or None, optional
        One that was started before; None: one is started.

    Raises
    ------
    FreezeError
        PROOF_FAILED.
    """
    proof.figures["reload_difference"] = _reloaded(path, proof.images, proof.expected, job, fresh)
    if proof.figures["reload_difference"] > proof.figures["tolerance"]:
        raise _failed(f"reloaded in a fresh process it differs by {proof.figures['reload_difference']:.3g}", job)


def _failed(what: str, job: Job) -> FreezeError:
    return FreezeError(
        "PROOF_FAILED",
        f"the proof fails: {what}; no file is written",
        "freeze an inference graph of this model; the findings above say what was mended",
        [f.code for f in job.log.findings if f.kind == "repair"] or [job.output],
    )


def check_features(
    run: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    expected: np.ndarray,
    allow: Callable[[np.ndarray], float],
) -> dict[str, Any]:
    """Rows against the live model, batch sizes, repeatability, distinctness, norm.

    `allow` says of the features what difference is allowed.

    Raises
    ------
    FreezeError
        PROOF_FAILED, CONSTANT_FEATURES.
    """
    whole, batches, tolerance = _in_batches(run, images, allow)
    again = float(np.abs(run(images) - whole).max())
    if again > tolerance:
        raise FreezeError(
            "PROOF_FAILED",
            f"two runs on the same images differ by {again:.3g}: something random is left",
            "build the inference graph",
        )
    spread, norm = _spread_and_norm(whole)
    if whole.shape != expected.shape:
        raise FreezeError(
            "PROOF_FAILED",
            f"the frozen graph gives {whole.shape}, the live model {expected.shape}",
            "please report this",
        )
    return {
        "dimension": int(whole.shape[1]),
        "tolerance": tolerance,
        "max_abs_difference": float(np.abs(whole - expected).max()),
        "batches": [1, 2, len(images)],
        "batch_difference": batches,
        "rerun_difference": again,
        "least_difference_between_images": spread,
        "norm_error": norm,
    }


def _in_batches(
    run: Callable[[np.ndarray], np.ndarray], images: np.ndarray, allow: Callable[[np.ndarray], float]
) -> tuple[np.ndarray, float, float]:
    """Features of all images at once, by how much those of batches of 1 and 2 differ, and what is allowed.

    Raises PROOF_FAILED.
    """
    tf = import_tensorflow()
    try:
        whole = run(images)
        single = np.concatenate([run(images[i : i + 1]) for i in range(len(images))])
        pairs = np.concatenate([run(images[i : i + 2]) for i in range(0, len(images), 2)])
    except (tf.errors.OpError, ValueError) as e:
        raise FreezeError(
            "PROOF_FAILED",
            f"the frozen graph does not run in batches of 1, 2 and {len(images)} (a batch size is fixed inside?): "
            f"{tensorflow_words(e)}",
            "build the graph with a free batch size ([None, H, W, 3], reshape with -1)",
        ) from None
    difference = float(max(np.abs(single - whole).max(), np.abs(pairs - whole).max()))
    if not np.isfinite(whole).all():
        raise FreezeError("PROOF_FAILED", "features are not finite", "use a checkpoint from before training diverged")
    tolerance = allow(whole)
    if difference > tolerance:
        raise FreezeError(
            "PROOF_FAILED",
            f"a crop's features depend on the other crops of its batch (batches of 1, 2 and {len(images)} differ by "
            f"{difference:.3g}): some batch statistics (batch norm in training mode) are left in the graph",
            "build the graph with is_training=False",
        )
    return whole, difference, tolerance


def _spread_and_norm(features: np.ndarray) -> tuple[float, float]:
    """The least difference of two rows, and the greatest of a norm to 1. Raises CONSTANT_FEATURES, PROOF_FAILED."""
    spread = float(min(np.abs(features[i] - features[j]).max() for i in range(len(features)) for j in range(i)))
    if spread < 1e-6:
        raise FreezeError(
            "CONSTANT_FEATURES",
            "different images give the same features: the output is disconnected from the images, or the network "
            "is dead (all ReLU outputs 0)",
            "check --output and the checkpoint",
        )
    norm = float(np.abs(np.linalg.norm(features, axis=1) - 1).max())
    if norm > 1e-3:
        raise FreezeError(
            "PROOF_FAILED", f"features are not of unit length (off by {norm:.3g})", "check that the network is trained"
        )
    return spread, norm


def _reloaded(path: Path, images: np.ndarray, expected: np.ndarray, job: Job, fresh: FreshProcess | None) -> float:
    """Maximum difference of the file, loaded by a fresh process."""
    with fresh or FreshProcess() as process:
        try:
            return float(np.abs(process.features(path, images) - expected).max())
        except CannotLoadError as e:
            raise _failed(f"a fresh process cannot load it: {str(e)[:300]}", job) from None
