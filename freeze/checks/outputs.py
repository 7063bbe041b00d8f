"""Which tensors of a graph could be the features: all of them, the likeliest first, and what each hangs on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from freeze.graph.graphdef import Graph, GraphDef, NodeDef, node_name, split
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
MEASURED = {"Sub", "Mul", "Abs", "Neg", "Exp", "Log", "Pow"} | STEPS
"""Of these, what only a sum or mean reads is a step of a norm, a distance or a loss."""
MEASURES = {"Sum", "Mean", "Max", "Min", "Prod", "L2Loss"} | STEPS
WATCHING = re.compile(r"Summary(V2)?$|^PrintV2|^Assert$|^Shape$|^Save")
SCORES = {"Softmax", "LogSoftmax", "SoftmaxCrossEntropyWithLogits", "SparseSoftmaxCrossEntropyWithLogits"}
SELECTING = {"TopK", "TopKV2", "InTopK", "InTopKV2"}


@dataclass(frozen=True)
class Candidate:
    """A tensor that could be the features.

    Attributes
    ----------
    name : str
        Node name.
    length : int or None
        Numbers for each image; None where that is not known, 0 for a map of several dimensions.
    alone : bool
        It hangs on nothing that only training gives beside the images (labels), as far as any candidate does.
    classes : bool
        By its name, its operation or its readers it holds scores of classes.
    feeds : tuple[str, ...]
        The placeholders and queues that it hangs on.
    above : frozenset[str]
        The nodes that it is computed from.
    """

    name: str
    length: int | None
    alone: bool
    classes: bool
    feeds: tuple[str, ...]
    above: frozenset[str]

    @property
    def telling(self) -> bool:
        """Its name is one that people give to features."""
        return self.name.rsplit("/", 1)[-1].rstrip("_0123456789").lower() in GOOD


def candidates(graph_def: GraphDef) -> list[Candidate]:
    """Every floating tensor that holds a row for each image and depends on something fed, the likeliest first.

    Left out is what lies inside a layer (a product before its bias), and what belongs to gradients and savers. A
    feature map counts where nothing is computed from it.
    """
    graph, shapes = Graph(graph_def), Shapes(graph_def)
    sources = [n.name for n in graph_def.node if n.op in SOURCES + PIPELINES]
    labels = {s for s in sources if _given_in_training(shapes, s)}
    above = {}
    for node in _possible(graph, shapes, sources):
        if _length(shapes, node.name) != 0 or not _readers(graph, node.name):
            above[node.name] = frozenset(graph.ancestors([node.name], control=False) - {node.name})
    some_alone = any(not labels & a for a in above.values())
    found = [
        Candidate(
            name,
            _length(shapes, name),
            not (some_alone and labels & a),
            _holds_classes(graph, graph.nodes[name]),
            tuple(s for s in sources if s in a),
            a,
        )
        for name, a in above.items()
    ]
    last = {c.name for c in ends(found)}
    place = {n.name: k / len(graph_def.node) for k, n in enumerate(graph_def.node)}

    def likely(c: Candidate) -> float:
        strange = not c.length or not c.alone
        return 4 * c.telling + 2 * (c.name in last) - 3 * c.classes - 6 * strange + place[c.name]

    return sorted(found, key=likely, reverse=True)


def ends(found: Iterable[Candidate]) -> list[Candidate]:
    """Of the likeliest kind there is, those from which no other of that kind is computed.

    Vectors of known length that hang on the images alone; else of unknown length; else what is left.
    """
    vectors = [c for c in found if c.length != 0]
    alone = [c for c in vectors if c.alone]
    kind = [c for c in alone if c.length] or alone or vectors
    above = {n for c in kind for n in c.above}
    return [c for c in kind if c.name not in above]


def only_one(found: list[Candidate]) -> Candidate | None:
    """The one that can be meant: alone, or the only one from which no other is computed; None where it is not clear."""
    last = ends(found)
    if len(last) != 1 or (last[0].classes and len(found) > 1):
        return None
    return last[0]


def held_one(found: list[Candidate], held: Mapping[str, str]) -> tuple[str, Candidate] | None:
    """(name in the program, candidate) of the features among what a program's names hold; None where it is not clear.

    A telling name, else the only one from which no other held tensor is computed.
    """
    by_name = {c.name: c for c in found}
    names = {node_name(t): k for k, t in held.items() if node_name(t) in by_name and split(t)[1] == 0}
    told = {n: k for k, t in held.items() if (n := node_name(t)) in names and k.lower() in HELD}
    last = [by_name[n] for n in told] if len(told) == 1 else ends([by_name[n] for n in names])
    if len(last) != 1:
        return None
    name = next(iter(told.values())) if len(told) == 1 else names[last[0].name]
    if len(told) != 1 and (CLASSES.search(name) or CLASSES.search(last[0].name)):
        return None
    return name, last[0]


def _possible(graph: Graph, shapes: Shapes, sources: list[str]) -> list[NodeDef]:
    """Nodes with a row for each image that are no step inside a layer, a norm or a loss."""
    below = graph.descendants(sources)
    batches = {dims[0] if dims else None for dims in map(shapes.of, sources)}
    return [
        n
        for n in graph.graph_def.node
        if n.name in below
        and n.op not in (*SOURCES, *PIPELINES, *SELECTING)
        and not n.name.startswith(("gradients", "save/"))
        and _row_for_each(shapes, n.name, batches)
        and not _inside(graph, shapes, n)
    ]


def _row_for_each(shapes: Shapes, name: str, batches: set[int | None]) -> bool:
    """A floating tensor whose first dimension can be that of the images."""
    dims, tensor = shapes.of(name), shapes.tensor(name)
    if tensor is None or not tensor.dtype.is_floating:
        return False
    return dims is None or (len(dims) > 1 and (dims[0] is None or dims[0] in batches) and _length(shapes, name) != 1)


def _length(shapes: Shapes, ref: str) -> int | None:
    """Numbers for each image where they lie along one dimension (`[?, 1, 1, 128]` too); None unknown, 0 for a map."""
    dims = shapes.of(ref)
    if dims is None or (len(dims) == 2 and dims[1] is None):
        return None
    longer = [d for d in dims[1:] if d != 1]
    if len(longer) > 1:
        return 0
    return longer[0] if longer else 1


def _given_in_training(shapes: Shapes, source: str) -> bool:
    """A placeholder of labels or of other rows beside the images: neither images nor a switch."""
    dims = shapes.of(source)
    return dims is not None and len(dims) in (1, 2)


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
    """A step of a layer, of a norm or of a loss: what alone reads it finishes the layer, or measures it."""
    readers = _readers(graph, node.name)
    if readers and node.op in MEASURED and all(r.op in MEASURES for r in readers):
        return True
    if len(readers) != 1 or readers[0].op not in FINISHING or not _flat(shapes, readers[0].name):
        return node.op in STEPS and bool(readers)
    return readers[0].op != "MatMul" or node.op in ("Reshape", "Squeeze")


def _holds_classes(graph: Graph, node: NodeDef) -> bool:
    return _named_as_classes(node) or any(r.op in SCORES for r in graph.consumers.get(node.name, ()))


def _named_as_classes(node: NodeDef) -> bool:
    return (
        node.op in ("Softmax", "LogSoftmax")
        or bool(CLASSES.search(node.name.rsplit("/", 1)[-1]))
        or (node.op in ("BiasAdd", "MatMul", "Add", "AddV2") and bool(CLASSES.search(node.name)))
    )
