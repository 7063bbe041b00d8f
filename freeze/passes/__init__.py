"""The repairs: pure functions. Each returns a new graph, and what it found; `REPAIRS` is their order."""

from __future__ import annotations

from collections.abc import Callable

from freeze.job import Job, Passed
from freeze.passes import batch_norm, batch_size, branches, control, dropout, layout, placeholders

Repair = Callable[[Job], Passed]

REPAIRS: tuple[Repair, ...] = (
    control.drop_updates,
    placeholders.bind_placeholders,
    branches.fold_branches,
    dropout.remove_dropout,
    batch_norm.rewire_fused,
    batch_norm.rewire_unfused,
    layout.make_channels_last,
    batch_size.free_batch,
)


def mend(job: Job) -> None:
    """Runs every repair on job.graph, pruning after each."""
    for repair in REPAIRS:
        job.take(repair(job))


# Repairs after which the untouched model no longer computes the same: the proof then compares with the mended graph.
ARITHMETIC = {"BATCH_NORM_TRAINING", "DROPOUT_REMOVED", "LAYOUT_NCHW", "BATCH_SIZE_FIXED", "UPDATE_OPS"}
