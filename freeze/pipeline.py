"""The way from a loaded model to a frozen graph: names, cut, repairs, values, constants."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np

from freeze import passes
from freeze.checks import names, operations, outputs, placeholders, training
from freeze.errors import FreezeError, Log
from freeze.export import finished
from freeze.graph.graphdef import VARIABLE_OPS, Graph, GraphDef, node_name, pruned
from freeze.graph.images import structured
from freeze.graph.runner import Runner
from freeze.job import INPUT, Job
from freeze.model import Model
from freeze.passes import constants, cut, flatten, fold_batch_norm, output
from freeze.request import Request
from tracker.core.tensorflow import import_tensorflow
from tracker.encoder.contract import Contract

COMPARED = 6
"""Images on which two choices of values are compared."""


def mended(request: Request, model: Model, log: Log) -> Job:
    """Everything up to a graph that computes right features with its variables still variables."""
    graph_def = model.graph_def if request.unsafe else operations.inert(model.graph_def)
    job = Job(request, model, log, graph_def, graph_def)
    job.output = names.resolve_output(graph_def, model.output or request.output, log, model.held)
    job.input = names.resolve_input(graph_def, model.input or request.input, job.output, log)
    names.check_connected(graph_def, job.input, job.output)
    _known_operations(job)
    if not request.unsafe:
        operations.check_harmless(model.graph_def, job.output, job.input)
    job.full = flatten.flatten(job.full, [job.output, job.input])
    placed = cut.cut(job)
    log.findings += placed.log.findings
    job = replace(placed, log=log)
    operations.check_freezable(job.graph)
    passes.mend(job)
    placeholders.check_placeholders(job)
    operations.check_deterministic(job)
    _values(job)
    training.check_trained(job)
    job.repaired_graph, job.head_before = job.graph, job.head
    job.take(output.form_output(job))
    _compare_averages(job)
    if job.log.codes() & passes.ARITHMETIC:
        job.repaired_graph, job.head_before = job.graph, job.head
    return job


def _known_operations(job: Job) -> None:
    """Drops what neither output nor updates need where it holds operations that TensorFlow does not know."""
    above = Graph(job.full).ancestors([job.output], stop=[node_name(job.input)])
    needed = type(job.full)(
        node=[n for n in job.full.node if n.name in above and n.name != node_name(job.input)],
        library=job.full.library,
        versions=job.full.versions,
    )
    operations.check_known(needed)
    from tensorflow.python.framework import op_def_registry

    functions = {f.signature.name for f in job.full.library.function}
    if any(n.op not in functions and op_def_registry.get(n.op) is None for n in job.full.node):
        job.full = pruned(job.full, [job.output])
    operations.check_known(job.full)
    job.full, found = operations.drop_newer_attributes(job.full, job.model.producer_ops)
    job.log.findings += found


def _values(job: Job) -> None:
    """Values of the variables in use: in the mended graph, and for the proof in the untouched one."""
    used = [n.name for n in job.graph.node if n.op in VARIABLE_OPS]
    untouched = [n.name for n in pruned(job.full, [job.output]).node if n.op in VARIABLE_OPS and n.name not in used]
    held = dict(job.model.values)
    missing = [n for n in used if n not in held]
    if missing and job.model.need is None:
        raise FreezeError(
            "VARIABLES_WITHOUT_VALUES",
            f"the graph has {len(missing)} variables and this file holds no values for them: it is not frozen",
            "give the checkpoint and its .meta: --meta M.meta --checkpoint CKPT",
            missing,
        )
    if missing and job.model.need is not None:
        found = job.model.need(missing)
        held.update(found.values)
        job.averages = found.averages
    if untouched and job.model.need is not None:
        try:
            held.update(job.model.need([n for n in untouched if n not in held]).values)
        except FreezeError:
            job.repaired_only = True  # training variables without values: the untouched graph cannot be run
    job.values = held


def _compare_averages(job: Job) -> None:
    """Says how far the features with a checkpoint's moving averages are from those with its plain values."""
    if not job.averages:
        return
    images = structured(COMPARED, job.input_shape)
    features = []
    for values in (job.values or {}, {**(job.values or {}), **job.averages}):
        with Runner(job.graph, values) as runner:
            features.append(np.asarray(runner.run(job.head, {INPUT: images})))
    cosine = (features[0] * features[1]).sum(1)
    job.log.warn(
        "CHECKPOINT_EMA",
        f"the checkpoint holds moving averages (EMA) beside the values of {len(job.averages)} of "
        f"{sum(n.op in VARIABLE_OPS for n in job.graph.node)} variables, and they give other features "
        f"(cosine {cosine.min():.4f} at least, {cosine.mean():.4f} on average, on {COMPARED} images): the plain "
        "values are used, as a plain restore does; --ema yes uses the averages",
        sorted(job.averages),
    )


def frozen(job: Job) -> GraphDef:
    """Constants instead of variables, folded, named, ordered."""
    for step in (constants.freeze_variables, constants.fold_constants, fold_batch_norm.fold_batch_norm):
        job.take(step(job))
    return finished(job)


def contract(job: Job, data: bytes, figures: dict[str, Any], precision: str) -> Contract:
    """What the graph promises, from what was found."""
    tf = import_tensorflow()
    return Contract(
        graph_sha256=hashlib.sha256(data).hexdigest(),
        input_shape=job.input_shape,
        dimension=figures["dimension"],
        colour_order=job.request.colour_order or job.model.colour_order,
        crop_rule=job.model.crop_rule,
        precision=precision,
        max_cosine_distance=job.model.max_cosine_distance,
        tensorflow_version=tf.__version__,
        provenance={
            **job.model.provenance,
            "input": job.input,
            "output": job.output,
            "placeholders": [n.name for n in job.full.node if n.op in outputs.SOURCES][:8],
        },
        repairs=[f.as_dict() for f in job.log.findings],
        proof=figures,
    )
