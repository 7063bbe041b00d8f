"""The repairs: each a pure function GraphDef -> GraphDef that logs code, nodes and why. `REPAIRS` is their order."""

from __future__ import annotations

from collections.abc import Callable

from freeze.graph.graphdef import GraphDef, pruned
from freeze.job import Job
from freeze.passes import batch_norm, batch_size, branches, control, dropout, layout, placeholders

Repair = Callable[[GraphDef, Job], GraphDef]

REPAIRS: tuple[Repair, ...] = (
    control.without_updates,
    placeholders.bound,
    branches.folded,
    dropout.removed,
    batch_norm.fused_to_inference,
    batch_norm.unfused_to_inference,
    placeholders.refused,
    layout.channels_last,
    batch_size.freed,
)


def repaired(job: Job) -> None:
    """Runs every repair on job.graph, pruning after each."""
    for repair in REPAIRS:
        job.graph = pruned(repair(job.graph, job), [job.head])


# Repairs after which the untouched model no longer computes the same: the proof then compares with the mended graph.
ARITHMETIC = {"BATCH_NORM_TRAINING", "DROPOUT_REMOVED", "LAYOUT_NCHW", "BATCH_SIZE_FIXED", "UPDATE_OPS"}
