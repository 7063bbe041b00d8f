"""A builder against the MetaGraph of the training run: the same weights must give the same features."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from freeze.checks import operations, outputs
from freeze.errors import FreezeError, Log
from freeze.graph.runner import Runner
from freeze.job import INPUT, Job
from freeze.load.checkpoint import resolve
from freeze.proof.prove import Proof

TOLERANCE = 1e-4
TRIES = 4


def check_against_meta(job: Job, proof: Proof) -> None:
    """Compares with the .meta that was given, or lies beside the checkpoint.

    Every likely output of the .meta is frozen by the same repairs and run on the proof's images.

    Raises
    ------
    FreezeError
        BUILDER_DIFFERS where none of them gives the builder's features.
    """
    request = job.request
    if request.source not in ("builder", "network"):
        return
    meta = request.meta or _beside(request.checkpoint)
    if meta is None or not meta.exists():
        return
    from freeze.load import metagraph

    try:
        graph_def = operations.inert(metagraph.read(meta).graph_def)
    except FreezeError as e:
        job.log.warn(
            "META_NOT_COMPARED", f"{meta.name} cannot be read ({e.code}): the builder was not compared with it"
        )
        return
    found = outputs.candidates(graph_def)
    last = outputs.ends(found)
    likely = [c.name for c in found if c.telling or c in last][:TRIES]
    differences = {n: d for n in likely if (d := _difference(job, proof, meta, n)) is not None}
    if not differences:
        why = f"no output of {meta.name} could be run: the builder was not compared with it"
        job.log.warn("META_NOT_COMPARED", why)
        return
    best = min(differences, key=lambda n: differences[n])
    proof.figures["meta_difference"] = differences[best]
    if differences[best] <= TOLERANCE:
        job.log.note(
            "META_AGREES", f"builder and {meta.name} (output {best}) give the same features: {differences[best]:.2g}"
        )
        return
    cause = (
        f"the builder and the training graph {meta.name} give different features from the same weights (they differ by"
        f" at least {differences[best]:.3g}): the builder is not the network that was trained (another pooling, scaling"
        " of the pixels, channel order, epsilon or head)"
    )
    remedy = f"make the builder equal, or freeze the training graph itself: --meta {meta} --output {best}"
    raise FreezeError("BUILDER_DIFFERS", cause, remedy, [f"{n}: differs by {d:.3g}" for n, d in differences.items()])


def _beside(checkpoint: Path | None) -> Path | None:
    """The .meta of a checkpoint."""
    if checkpoint is None:
        return None
    try:
        prefix = resolve(checkpoint, Log())
    except FreezeError:
        return None
    return prefix.with_name(prefix.name + ".meta")


def _difference(job: Job, proof: Proof, meta: Path, output: str) -> float | None:
    """Maximum difference between the features and what the .meta computes.

    None where it cannot be run, or is another size.
    """
    from freeze import pipeline
    from freeze.load import metagraph

    request = replace(
        job.request,
        meta=meta,
        builder=None,
        network=None,
        input=None,
        output=output,
        repair=True,
        scale=None,
        image_shape=None,
    )
    log = Log()
    try:
        other = pipeline.mended(request, metagraph.load(request, log), log)
        with Runner(other.graph, other.values) as runner:
            features = np.asarray(runner.run(other.head, {INPUT: proof.images}))
    except FreezeError:
        return None
    return float(np.abs(features - proof.expected).max()) if features.shape == proof.expected.shape else None
