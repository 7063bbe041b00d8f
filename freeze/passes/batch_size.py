"""A batch size that was fixed when the graph was built is freed, also inside Reshape."""

from __future__ import annotations

import numpy as np

from freeze.errors import Finding
from freeze.graph.graphdef import Graph, add_const, copied, node_name
from freeze.graph.shapes import Shapes
from freeze.job import INPUT, Job, Passed
from freeze.passes.evaluate import constant, values


def free_batch(job: Job) -> Passed:
    """Reshape targets that start with the fixed batch size start with -1 instead."""
    batch = Shapes(job.full).of(job.input)
    fixed = batch[0] if batch else None
    new, graph, changed = copied(job.graph), Graph(job.graph), []
    below = graph.descendants([INPUT])
    shapes = Shapes(job.full)
    for node in [n for n in new.node if n.op == "Reshape" and n.name in below and constant(graph, n.input[1])]:
        target = np.atleast_1d(values(job.graph, [node.input[1]])[0]).tolist()
        wanted = _free(target, fixed, shapes.of(node.input[0]) or shapes.of(node_name(node.input[0])))
        if wanted is not None and wanted != target:
            name = graph.fresh(f"{node.name}/free_shape")
            const = add_const(new, name, np.array(wanted, np.int32))
            const.input.extend(
                i for i in graph.producer(node.input[1]).input if i.startswith("^")
            )  # keeps it in its loop
            node.input[1] = name
            node.attr["Tshape"].type = const.attr["dtype"].type
            changed.append(f"{node.name} {target} -> {wanted}")
    if fixed is None and not changed:
        return Passed(new, job.head)
    why = f"the batch size was fixed to {fixed or 1} when the graph was built: freed"
    return Passed(new, job.head, (Finding("BATCH_SIZE_FIXED", why, tuple(changed or [job.input])),))


def _free(target: list[int], fixed: int | None, source: list[int | None] | None) -> list[int] | None:
    """The target with a free first dimension, or None where the batch is not in it."""
    if not target or target[0] < 1 or (fixed is not None and target[0] != fixed) or (fixed is None and target[0] != 1):
        return None
    if -1 not in target:
        if (
            fixed is None
            and source is not None
            and source[0] is None
            and len(source) > 1
            and None not in source[1:]
            and int(np.prod([d for d in source[1:] if d])) != int(np.prod(target[1:]))
        ):
            return None
        return [-1, *target[1:]]
    known = list((source or [])[1:])
    if source is None or any(d is None for d in known):
        return None
    rest = int(np.prod([d for d in target[1:] if d > 0]))
    per_row = int(np.prod([d for d in known if d is not None]))
    if rest < 1 or per_row % rest:
        return None
    return [-1, *(per_row // rest if d == -1 else d for d in target[1:])]
