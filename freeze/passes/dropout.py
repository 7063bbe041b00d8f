"""Takes dropout out where its whole pattern is there: input times scale, kept by a random mask.

Known masks: `uniform >= rate` and `uniform < keep` (TensorFlow since 1.13, Keras), `floor(keep + uniform)` (older).
The mask is
applied by a product (with a cast) or a Select with zeros. The scale must be the inverse of the kept share: that is
computed,
so a graph that merely resembles dropout is left alone (and refused later for its random numbers).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from freeze.errors import Finding
from freeze.graph.graphdef import RANDOM_OPS, Graph, copied, node_name, replace_tensor, same_tensor
from freeze.job import INPUT, Job, Passed
from freeze.passes.evaluate import SOURCES, constant, values

UNIFORM = {"RandomUniform", "StatelessRandomUniform", "StatelessRandomUniformV2", "StatefulUniform"}
ADD = ("Add", "AddV2")
PASSING = ("Identity", "Cast", "StopGradient", "Snapshot")
PROBE = 0.6  # any probability: a placeholder of dropout is tried with it


class Mask(NamedTuple):
    """`keep` is the tensor of the kept share, or of its complement where `complement`."""

    share: str
    complement: bool


def remove_dropout(job: Job) -> Passed:
    """Each dropout's output is its input."""
    new, graph, head = copied(job.graph), Graph(job.graph), job.head
    random = graph.descendants([n.name for n in job.graph.node if n.op in RANDOM_OPS])
    moved = {
        n.name: source for n in job.graph.node if n.name in random and (source := _source(graph, n, random)) is not None
    }
    for name, source in moved.items():
        while node_name(source) in moved:
            source = moved[node_name(source)]
        replace_tensor(new, name, source, skip=[name])
        if same_tensor(head, name):
            head = source
    why = "dropout was active: it would drop other values in every call; removed, inference keeps all"
    return Passed(new, head, (Finding("DROPOUT_REMOVED", why, tuple(moved), arithmetic=True),) if moved else ())


def _source(graph: Graph, node: Any, random: set[str]) -> str | None:
    """What a dropout ending in `node` was applied to, or None."""
    if node.op in ADD:
        return _alpha(graph, node, random)
    sides = {"Mul": [(0, 1), (1, 0)], "SelectV2": [(0, 1)], "Select": [(0, 1)]}.get(node.op, [])
    if node.op.startswith("Select") and not _zeros(graph, node.input[2]):
        return None
    for m, y in sides:
        mask = _mask(graph, node.input[m])
        if mask is None or (
            INPUT in graph.ancestors([node.input[m]], control=False) and not _shape_only(graph, node.input[m])
        ):
            continue
        for kept, scale, inverse in _scaled(graph, node.input[y], node.name):
            if _balances(graph, mask, scale, inverse):
                return kept
    return None


def _zeros(graph: Graph, ref: str) -> bool:
    node = graph.nodes[node_name(graph.through(ref, PASSING))]
    if node.op == "ZerosLike":
        return True
    return constant(graph, ref) and not np.any(values(graph.graph_def, [ref])[0])


def _shape_only(graph: Graph, ref: str) -> bool:
    """The mask knows of the images only through a Shape."""
    stop = [n for n in graph.nodes if graph.nodes[n].op in ("Shape", "ShapeN", "Size")]
    return INPUT not in graph.ancestors([ref], stop=stop, control=False)


def _mask(graph: Graph, ref: str) -> Mask | None:
    node = graph.nodes[node_name(graph.through(ref, PASSING))]
    if node.op in ("GreaterEqual", "Greater") and _uniform(graph, node.input[0]):
        return Mask(node.input[1], True)
    if node.op in ("Less", "LessEqual") and _uniform(graph, node.input[0]):
        return Mask(node.input[1], False)
    if node.op in ("GreaterEqual", "Greater") and _uniform(graph, node.input[1]):
        return Mask(node.input[0], False)
    if node.op == "Floor":
        total = graph.nodes[node_name(node.input[0])]
        if total.op in ADD:
            for u, k in ((0, 1), (1, 0)):
                if _uniform(graph, total.input[u]):
                    return Mask(total.input[k], False)
    return None


def _uniform(graph: Graph, ref: str) -> bool:
    """A uniform random number in [0, 1), perhaps written as u * (1 - 0) + 0."""
    node = graph.nodes[node_name(graph.through(ref, PASSING))]
    if node.op in UNIFORM:
        return True
    neutral = {"Mul": 1.0, "Add": 0.0, "AddV2": 0.0}.get(node.op)
    if neutral is None:
        return False
    for u, c in ((0, 1), (1, 0)):
        if _uniform(graph, node.input[u]):
            return constant(graph, node.input[c]) and bool(
                np.all(values(graph.graph_def, [node.input[c]])[0] == neutral)
            )
    return False


def _scaled(graph: Graph, ref: str, end: str) -> list[tuple[str, str, bool]]:
    """(tensor, scale, scale divides) for a tensor times or over a scale that does not depend on the images."""
    node = graph.nodes[node_name(graph.through(ref))]
    found = []
    if node.op == "Mul":
        found = [(node.input[a], node.input[b], False) for a, b in ((0, 1), (1, 0)) if _plain(graph, node.input[b])]
    elif node.op in ("RealDiv", "Div") and _plain(graph, node.input[1]):
        found = [(node.input[0], node.input[1], True)]
    uses = [c for c in graph.consumers.get(end, ()) if c.op in ("Mul", "RealDiv")]
    return found if found or uses else []


def _placeholders(graph: Graph, ref: str) -> list[str]:
    return [n for n in graph.ancestors([ref], control=False) if graph.nodes[n].op in SOURCES and n != INPUT]


def _plain(graph: Graph, ref: str) -> bool:
    return constant(graph, ref, allow=_placeholders(graph, ref))


def _balances(graph: Graph, mask: Mask, scale: str, inverse: bool) -> bool:
    """Scale times kept share is 1, with placeholders of dropout set to some probability."""
    names = sorted({*_placeholders(graph, mask.share), *_placeholders(graph, scale)})
    if not _plain(graph, mask.share):
        return False
    share, factor = values(graph.graph_def, [mask.share, scale], {n: np.float32(PROBE) for n in names})
    keep = 1 - np.asarray(share, float) if mask.complement else np.asarray(share, float)
    factor = 1 / np.asarray(factor, float) if inverse else np.asarray(factor, float)
    return keep.size == factor.size == 1 and bool(abs(float(keep) * float(factor) - 1) < 5e-3)


def _alpha(graph: Graph, node: Any, random: set[str]) -> str | None:
    """Alpha dropout: a * (x * mask + alpha * (1 - mask)) + b."""
    for side in node.input[:2]:
        scaled = graph.nodes[node_name(side)]
        if scaled.op != "Mul":
            continue
        for inner in scaled.input[:2]:
            total = graph.nodes[node_name(inner)]
            if total.op not in ADD or total.name not in random:
                continue
            for a, b in ((0, 1), (1, 0)):
                kept, filled = (graph.nodes[node_name(total.input[k])] for k in (a, b))
                if (
                    kept.op == "Mul"
                    and filled.op == "Mul"
                    and any(
                        graph.nodes[node_name(r)].op == "Sub" and _mask(graph, graph.nodes[node_name(r)].input[1])
                        for r in filled.input[:2]
                    )
                ):
                    for m, x in ((0, 1), (1, 0)):
                        if _mask(graph, kept.input[m]):
                            return str(kept.input[x])
    return None
