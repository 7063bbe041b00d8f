"""Which tensors of a graph could be the features: all of them, the likeliest first, and what each hangs on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from freeze.graph.graphdef import Graph, GraphDef, NodeDef, node_name
from freeze.graph.shapes import Shapes

SOURCES = ("Placeholder", "PlaceholderWithDefault", "PlaceholderV2")
PIPELINES = (
    "IteratorGetNext",
    "OneShotIterator",
    "QueueDequeueManyV2",
    "QueueDequeueV2",
    "QueueDequeueUpToV2",
    "QueueDequeue",
    "QueueDequeueMany",
    "ReaderReadV2",
    "IteratorV2",
    "FIFOQueueV2",
    "BatchDataset",
)
GOOD = ("features", "feature", "embedding", "embeddings", "l2_normalize", "truediv", "output", "descriptor", "encoding")
HELD = ("features", "feature", "embedding", "embeddings", "descriptor", "encoding", "feats", "emb")
CLASSES = re.compile(r"logit|softmax|prob|predict|score|class", re.IGNORECASE)
# A product becomes a layer's output by one of these; the tensors before are its own business.
FINISHING = {
    "BiasAdd",
    "Add",
    "AddV2",
    "Relu",
    "Relu6",
    "Elu",
    "Selu",
    "LeakyRelu",
    "Tanh",
    "Sigmoid",
    "Identity",
    "MatMul",
}
STEPS = {"Square", "SquaredDifference", "Sqrt", "Rsqrt"}
WATCHING = re.compile(r"Summary$|^Print|^Assert$|^Shape$|^CheckNumerics|^Save")
TRAINS = re.compile(r"^(Resource)?(Sparse)?Apply[A-Z]")


@dataclass(frozen=True)
class Candidate:
    """A tensor that could be the features.

    Attributes
    ----------
    name : str
        Node name.
    score : float
        The higher, the likelier.
    sink : bool
        Nothing computes with it.
    classes : bool
        By its name or operation it holds scores of classes.
    feeds : tuple[str, ...]
        The placeholders and queues that it hangs on.
    """

    name: str
    score: float
    sink: bool
    classes: bool
    feeds: tuple[str, ...]


def candidates(graph_def: GraphDef) -> list[Candidate]:
    """Every floating tensor of rank 2 that depends on something fed, the likeliest first.

    Left out is what lies inside a layer (a product before its bias), and what belongs to gradients and savers.
    """
    graph, shapes = Graph(graph_def), Shapes(graph_def)
    sources = [n.name for n in graph_def.node if n.op in SOURCES + PIPELINES]
    below = graph.descendants(sources)
    found = []
    for place, node in enumerate(graph_def.node):
        if node.name not in below or node.op in SOURCES + PIPELINES or node.name.startswith(("gradients", "save/")):
            continue
        if not _flat(shapes, node.name) or _inside(graph, shapes, node):
            continue
        last = node.name.rsplit("/", 1)[-1].rstrip("_0123456789").lower()
        sink, classes = not _readers(graph, node.name), _holds_classes(node)
        score = 4 * (last in GOOD) + 2 * sink - 3 * classes + place / len(graph_def.node)
        above = graph.ancestors([node.name], control=False)
        found.append(Candidate(node.name, score, sink, classes, tuple(s for s in sources if s in above)))
    return sorted(found, key=lambda c: -c.score)


def only_one(found: list[Candidate]) -> Candidate | None:
    """The one that can be meant: alone, or the only one that nothing computes with; None where it is not clear."""
    sinks = [c for c in found if c.sink]
    if len(found) == 1:
        return found[0]
    if len(sinks) == 1 and not sinks[0].classes:
        return sinks[0]
    return None


def held_one(graph_def: GraphDef, held: Mapping[str, str]) -> tuple[str, str] | None:
    """(name in the program, tensor) of the features among what a program's names hold; None where it is not clear.

    A telling name, else the only one from which no other held tensor is computed.
    """
    graph, shapes = Graph(graph_def), Shapes(graph_def)
    below = graph.descendants([n.name for n in graph_def.node if n.op in SOURCES + PIPELINES])
    flat = {k: t for k, t in held.items() if node_name(t) in below and _flat(shapes, t)}
    told = [(k, t) for k, t in flat.items() if k.lower() in HELD]
    if len({t for _, t in told}) == 1:
        return told[0]
    ends = {
        t: k
        for k, t in flat.items()
        if not any(o != t and node_name(t) in graph.ancestors([o], control=False) for o in flat.values())
    }
    if len(ends) != 1:
        return None
    tensor, name = next(iter(ends.items()))
    return None if CLASSES.search(name) or _holds_classes(graph.producer(tensor)) else (name, tensor)


def trains(graph_def: GraphDef) -> bool:
    """The graph of a training run: it holds an optimiser, so what nothing reads is more often a loss or a summary."""
    return any(TRAINS.match(n.op) or n.name.startswith("gradients/") for n in graph_def.node)


def described(graph_def: GraphDef, found: Iterable[Candidate]) -> list[str]:
    """`features float32 [?, 128], from images` for messages."""
    shapes = Shapes(graph_def)
    return [f"{shapes.text(c.name)}, from {' and '.join(c.feeds)}" for c in found]


def _flat(shapes: Shapes, ref: str) -> bool:
    dims, tensor = shapes.of(ref), shapes.tensor(ref)
    return bool(dims is not None and len(dims) == 2 and tensor.dtype.is_floating and (dims[1] is None or dims[1] > 1))


def _readers(graph: Graph, name: str) -> list[NodeDef]:
    """Nodes that compute with a tensor; those that only watch it do not count."""
    return [
        node
        for node in graph.consumers.get(name, ())
        if not WATCHING.search(node.op) and any(node_name(i) == name and not i.startswith("^") for i in node.input)
    ]


def _inside(graph: Graph, shapes: Shapes, node: NodeDef) -> bool:
    """A step of a layer or of a normalisation: one node alone reads it, and that finishes the layer."""
    readers = _readers(graph, node.name)
    if node.op in STEPS and readers:
        return True
    if len(readers) != 1 or readers[0].op not in FINISHING or not _flat(shapes, readers[0].name):
        return False
    return readers[0].op != "MatMul" or node.op in ("Reshape", "Squeeze")


def _holds_classes(node: NodeDef) -> bool:
    return (
        node.op in ("Softmax", "LogSoftmax")
        or bool(CLASSES.search(node.name.rsplit("/", 1)[-1]))
        or (node.op in ("BiasAdd", "MatMul", "Add", "AddV2") and bool(CLASSES.search(node.name)))
    )
