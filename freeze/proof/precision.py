"""`--precision`: the proved float32 graph with its convolutions in bfloat16 or float16, proved against itself."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from freeze.errors import FreezeError
from freeze.graph.graphdef import GraphDef
from freeze.graph.images import structured
from freeze.graph.runner import Runner
from freeze.job import INPUT, OUTPUT, Job
from freeze.proof.prove import Proof, check_features

LEAST_COSINE = 0.999  # between the features of the same image in float32 and in the lower precision
TOLERANCE = 0.03  # absolute, per value of a unit vector: bfloat16 has 8 bits of mantissa
WORTH = 1.1  # `auto` takes the lower precision where it is faster by this much
BATCH, ROUNDS = 8, 9


def chosen(job: Job, graph_def: GraphDef, proof: Proof) -> tuple[GraphDef, str]:
    """The graph in the precision asked for, and its name; the proof's figures then hold both proofs.

    Raises
    ------
    FreezeError
        PRECISION_NOT_POSSIBLE, PRECISION_COSINE.
    """
    asked = job.request.precision
    if asked in ("f32", "int8"):  # int8 is for other runtimes
        return graph_def, "f32"
    name = "bf16" if asked == "auto" else asked
    try:
        low, features, figures = _lowered(graph_def, name, proof)
    except FreezeError as e:
        if asked != "auto":
            raise
        job.log.note("PRECISION_CHOSEN", f"f32 is used: {name} is no choice ({e.cause})")
        return graph_def, "f32"
    if asked == "auto":
        seconds = _seconds([graph_def, low], job)
        ratio = seconds[0] / seconds[1]
        why = f"{name} takes {1 / ratio:.2f} of the time of f32 here (cosine {figures['cosine_to_f32']:.6f})"
        job.log.note("PRECISION_CHOSEN", f"{name if ratio >= WORTH else 'f32'} is used: {why}")
        if ratio < WORTH:
            return graph_def, "f32"
    proof.figures = {**figures, "f32": proof.figures}
    proof.expected = features
    return low, name


def _lowered(graph_def: GraphDef, name: str, proof: Proof) -> tuple[GraphDef, np.ndarray, dict[str, Any]]:
    """The lower precision's graph, its features of the proof's images, and its figures."""
    from tracker.core.tensorflow import import_tensorflow
    from tracker.encoder.precision import lowered

    low = lowered(graph_def, name)
    if low is None:
        cause = f"the graph has no convolutions to compute in {name}"
        raise FreezeError("PRECISION_NOT_POSSIBLE", cause, "leave out --precision")
    with Runner(low) as runner:

        def run(x: np.ndarray) -> np.ndarray:
            return np.asarray(runner.run(OUTPUT, {INPUT: x}))

        try:
            features = run(proof.images)
        except import_tensorflow().errors.OpError:
            cause = f"TensorFlow has no operations in {name} for this graph on this machine"
            raise FreezeError("PRECISION_NOT_POSSIBLE", cause, "use f32 or the other precision") from None
        figures = check_features(run, proof.images, proof.expected, lambda _: TOLERANCE)
    figures |= {k: proof.figures[k] for k in ("inputs", "live_route")}
    cosine = float((features * proof.expected).sum(1).min())
    figures["cosine_to_f32"] = cosine
    if cosine < LEAST_COSINE:
        cause = (
            f"in {name} the features turn away from the float32 ones: cosine {cosine:.5f}, at least {LEAST_COSINE} is"
            " needed"
        )
        raise FreezeError("PRECISION_COSINE", cause, "use --precision f32")
    return low, features, figures


def _seconds(graphs: list[GraphDef], job: Job) -> list[float]:
    """Median time of a batch on each graph, measured in turns."""
    images = structured(BATCH, job.input_shape)
    runners = [Runner(g) for g in graphs]
    times: list[list[float]] = [[] for _ in graphs]
    for _ in range(ROUNDS):
        for runner, taken in zip(runners, times, strict=True):
            start = time.perf_counter()
            runner.run(OUTPUT, {INPUT: images})
            taken.append(time.perf_counter() - start)
    for runner in runners:
        runner.close()
    return [float(np.median(t[2:])) for t in times]
