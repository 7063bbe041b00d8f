"""Batch norm in training mode is rewired to the moving statistics.

They are found through the update operations, then by scope.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from freeze.errors import Finding, FreezeError
from freeze.graph.graphdef import (
    ASSIGN_OPS,
    VARIABLE_OPS,
    Graph,
    GraphDef,
    add_const,
    add_node,
    copied,
    node_name,
    normalises_each_image,
    replace_tensor,
    set_attr,
)
from freeze.job import INPUT, Job, Passed
from freeze.passes.evaluate import constant, values
from tracker.core.tensorflow import import_tensorflow

MEANS = ("moving_mean", "running_mean", "moving_avg_mean", "pop_mean", "mean_ema", "mean")
VARIANCES = (
    "moving_variance",
    "moving_var",
    "running_var",
    "running_variance",
    "moving_avg_variance",
    "pop_var",
    "var",
    "variance",
)
# What lies between a batch statistic and the assignment to its moving average.
ARITHMETIC = {
    "Sub",
    "Mul",
    "Add",
    "AddV2",
    "AddN",
    "Identity",
    "Cast",
    "Reshape",
    "Squeeze",
    "Switch",
    "RefSwitch",
    "Merge",
    "StopGradient",
    "RealDiv",
    "ExpandDims",
    "Neg",
    "Snapshot",
}
PART = re.compile(r"/part_\d+$")
RESHAPES = ("Squeeze", "Identity", "Reshape", "Cast")
NOT_FOUND = (
    "build the graph with is_training=False, or name the variables X/moving_mean and X/moving_variance in the batch"
    " norm's scope"
)


def variable_through(graph: Graph, ref: str) -> str | None:
    """The variable behind a tensor, also through the switches of a tf.cond."""
    seen = 0
    while seen < 50:
        seen += 1
        found = graph.variable_of(ref)
        if found is not None:
            return found
        node = graph.nodes.get(node_name(graph.through(ref)))
        if node is not None and node.op == "ConcatV2":
            whole = {PART.sub("", v) for i in node.input[:-1] if (v := graph.variable_of(i))}
            return whole.pop() if len(whole) == 1 else None
        if node is None or node.op not in (
            "Switch",
            "RefSwitch",
            "Enter",
            "RefEnter",
            "ReadVariableOp",
            "Merge",
            "Cast",
        ):
            return None
        ref = node.input[0]
    return None


def updated_by(graph: Graph, refs: Iterable[str]) -> str | None:
    """The one variable that an update operation assigns from any of these tensors."""
    found = set()
    todo, seen = list(refs), set()
    while todo:
        ref = todo.pop()
        for node, k in graph.uses(ref):
            if node.op in ASSIGN_OPS:
                if k == 1 and (variable := variable_through(graph, node.input[0])):
                    # zero_debias=True updates NAME/biased and derives NAME from it
                    debiased = variable.removesuffix("/biased")
                    found.add(debiased if debiased in graph.nodes else variable)
            elif node.op in ARITHMETIC and node.name not in seen:
                seen.add(node.name)
                todo.extend([node.name, f"{node.name}:1"] if node.op in ("Switch", "RefSwitch") else [node.name])
    return found.pop() if len(found) == 1 else None


def by_scope(graph: Graph, hints: Iterable[str], channels: int | None) -> tuple[str, str] | None:
    """Moving mean and variance in the scope of one of the `hints` (variable or node names), innermost scope first."""
    variables = {PART.sub("", n) for n, node in graph.nodes.items() if node.op in VARIABLE_OPS}
    for hint in hints:
        parts = hint.split("/")[:-1]
        for depth in range(len(parts), 0, -1):
            scope = "/".join(parts[:depth]) + "/"
            for inner in ("", parts[depth - 1] + "/", "bn/", "BatchNorm/"):
                mean = [
                    v
                    for m in MEANS
                    if (v := scope + inner + m) in variables and _channels(graph, v) in (None, channels)
                ]
                variance = [
                    v
                    for m in VARIANCES
                    if (v := scope + inner + m) in variables and _channels(graph, v) in (None, channels)
                ]
                if mean and variance:
                    return mean[0], variance[0]
    return None


def _channels(graph: Graph, variable: str) -> int | None:
    sizes = [[d.size for d in graph.nodes[n].attr["shape"].shape.dim] for n in _parts(graph, variable)]
    return sum(int(np.prod(s)) for s in sizes) if all(sizes) else None


def _parts(graph: Graph, variable: str) -> list[str]:
    """The variable's own node, or those of its parts in their order."""
    if variable in graph.nodes and graph.nodes[variable].op in VARIABLE_OPS:
        return [variable]
    found = [n for n, node in graph.nodes.items() if node.op in VARIABLE_OPS and PART.sub("", n) == variable]
    return sorted(found, key=lambda n: int(n.rsplit("_", 1)[1]))


def read_of(new: GraphDef, graph: Graph, full: Graph, variable: str) -> str:
    """A tensor with the variable's value in `new`, adding the variable and its read where they were pruned away."""
    present = {n.name for n in new.node}
    parts = _parts(full, variable)
    if parts != [variable]:
        return _joined(new, variable, [read_of(new, graph, full, p) for p in parts])
    node = full.nodes[variable]
    if variable not in present:
        new.node.add().CopyFrom(node)
    if node.op != "VarHandleOp":
        return variable
    name = f"{variable}/freeze_read"
    if name not in present:
        add_node(new, name, "ReadVariableOp", [variable], dtype=import_tensorflow().as_dtype(node.attr["dtype"].type))
    return name


def _joined(new: GraphDef, variable: str, reads: list[str]) -> str:
    """The parts of a partitioned vector put together."""
    name, tf = f"{variable}/freeze_joined", import_tensorflow()
    if name not in {n.name for n in new.node}:
        axis = add_const(new, f"{name}/axis", np.int32(0))
        add_node(new, name, "ConcatV2", [*reads, axis.name], T=tf.float32, Tidx=tf.int32, N=len(reads))
    return name


def rewire_fused(job: Job) -> Passed:
    """FusedBatchNorm with is_training=True reads the moving statistics instead of the batch's."""
    new, graph, full = copied(job.graph), Graph(job.graph), Graph(job.full)
    mended = []
    guessed: dict[str, tuple[str, str]] = {}
    training = [n for n in new.node if n.op.startswith("FusedBatchNorm") and n.attr["is_training"].b]
    for node in [n for n in training if not normalises_each_image(graph, n, [INPUT])]:
        pair = _fused_pair(graph, full, node, guessed)
        if pair is None:
            raise FreezeError(
                "BATCH_NORM_TRAINING",
                "batch norm runs in training mode (it uses the statistics of the batch it is given, so the features of"
                " a crop depend on the other crops) and its moving mean and variance cannot be found, neither through"
                " update operations nor by scope",
                NOT_FOUND,
                [f"{node.name} ({node.op})"],
            )
        control = [i for i in node.input if i.startswith("^")]
        reads = [read_of(new, graph, full, v) for v in pair]
        del node.input[3:]
        node.input.extend([*reads, *control])
        set_attr(node, "is_training", False)
        mended.append(f"{node.name} <- {pair[0]}, {pair[1]}")
    why = "batch norm ran in training mode (on the statistics of each batch): rewired to the moving mean and variance"
    return Passed(new, job.head, _finding(mended, why))


def _fused_pair(graph: Graph, full: Graph, node: Any, guessed: dict[str, tuple[str, str]]) -> tuple[str, str] | None:
    held = [variable_through(graph, i) for i in node.input[3:5]]
    if len(held) == 2 and held[0] and held[1]:
        return held[0], held[1]
    mean, variance = updated_by(full, [f"{node.name}:1"]), updated_by(full, [f"{node.name}:2"])
    if mean and variance:
        return mean, variance
    hints = [v for i in node.input[1:3] if (v := variable_through(graph, i))]
    return _scoped(full, hints, node.name, guessed)


def rewire_unfused(job: Job) -> Passed:
    """Moments over the batch (mean, and mean of squared differences) are replaced by the moving statistics."""
    new, graph, full = copied(job.graph), Graph(job.graph), Graph(job.full)
    mended = []
    guessed: dict[str, tuple[str, str]] = {}
    for mean, variance in _moments(graph):
        pair = _unfused_pair(graph, full, mean, variance, guessed)
        if pair is None:
            raise FreezeError(
                "BATCH_NORM_TRAINING",
                "batch norm (unfused) runs in training mode: it subtracts the mean of the batch, and its moving "
                "mean and variance cannot be found, neither through update operations nor by scope",
                NOT_FOUND,
                [mean, variance],
            )
        inside = _between(graph, mean, variance)
        for statistic, variable in ((mean, pair[0]), (variance, pair[1])):
            read = read_of(new, graph, full, variable)
            for end in _ends(graph, statistic):
                replace_tensor(new, end, read, skip=inside)
        mended.append(f"{mean}, {variance} <- {pair[0]}, {pair[1]}")
    why = (
        "batch norm (unfused) ran in training mode (on the statistics of each batch): rewired to the moving mean and "
        "variance"
    )
    return Passed(new, job.head, _finding(mended, why))


def _finding(mended: list[str], why: str) -> tuple[Finding, ...]:
    return (Finding("BATCH_NORM_TRAINING", why, tuple(mended), arithmetic=True),) if mended else ()


def _over_batch(graph: Graph, node: Any) -> bool:
    """A mean over axis 0 of something that depends on the images."""
    if (
        node.op != "Mean"
        or not constant(graph, node.input[1])
        or INPUT not in graph.ancestors([node.input[0]], control=False)
    ):
        return False
    return 0 in np.atleast_1d(values(graph.graph_def, [node.input[1]])[0])


def _moments(graph: Graph) -> list[tuple[str, str]]:
    """(mean, variance) nodes of every batch norm.

    variance = mean of squared differences, or mean of squares less the mean's square.
    """
    found = []
    means = [n.name for n in graph.nodes.values() if _over_batch(graph, n)]
    for name in means:
        node = graph.nodes[name]
        inner = graph.nodes[node_name(graph.through(node.input[0]))]
        if inner.op == "SquaredDifference":
            roots = [
                node_name(graph.through(i, ("Identity", "StopGradient", "Reshape", "ExpandDims")))
                for i in inner.input[:2]
            ]
            found += [(r, name) for r in roots if r in means and r != name]
        elif inner.op == "Square":
            for square, _ in graph.uses(name):
                if square.op == "Sub":
                    other = graph.nodes[node_name(square.input[1])]
                    if other.op == "Square" and (r := node_name(graph.through(other.input[0]))) in means:
                        found.append((r, square.name))
    return found


def _ends(graph: Graph, statistic: str) -> list[str]:
    """The statistic and what only reshapes it."""
    ends = [statistic]
    for end in ends:
        ends += [c.name for c, _ in graph.uses(end) if c.op in RESHAPES and c.name not in ends]
    return ends


def _between(graph: Graph, mean: str, variance: str) -> set[str]:
    """Nodes that compute the statistics themselves; they keep reading the batch's mean (and are pruned)."""
    return (
        (graph.descendants([mean]) & graph.ancestors([variance], control=False))
        | set(_ends(graph, mean))
        | set(_ends(graph, variance))
    )


def _unfused_pair(
    graph: Graph, full: Graph, mean: str, variance: str, guessed: dict[str, tuple[str, str]]
) -> tuple[str, str] | None:
    moving = updated_by(full, _ends(full, mean)), updated_by(full, _ends(full, variance))
    if moving[0] and moving[1]:
        return moving[0], moving[1]
    hints = _parameters_near(graph, variance)
    return _scoped(full, hints, mean, guessed)


def _parameters_near(graph: Graph, variance: str) -> list[str]:
    """Variables (gamma, beta) that the normalisation around a variance reads, the nearest first."""
    todo, seen = [variance], {variance}
    found: list[str] = []
    while todo and len(seen) < 20 and not found:
        name = todo.pop(0)
        for node, _ in graph.uses(name):
            if node.name not in seen and node.op in (
                "Mul",
                "Sub",
                "Add",
                "AddV2",
                "Rsqrt",
                "Sqrt",
                "RealDiv",
                *RESHAPES,
            ):
                seen.add(node.name)
                todo.append(node.name)
                found += [v for i in node.input if not i.startswith("^") and (v := variable_through(graph, i))]
    return found


def _scoped(full: Graph, hints: list[str], place: str, guessed: dict[str, tuple[str, str]]) -> tuple[str, str] | None:
    """`by_scope`, refusing (None) statistics that another batch norm, one with other parameters, was given already."""
    pair = by_scope(full, [*hints, place], _channels(full, hints[0]) if hints else None)
    owner = hints[0] if hints else place
    if pair is None or any(p == pair and o != owner for o, p in guessed.items()):
        return None
    guessed[owner] = pair
    return pair
