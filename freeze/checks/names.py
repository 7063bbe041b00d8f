"""Which tensor is the input and which the output: as asked, as the source knows, or the only one that can be meant."""

from __future__ import annotations

import difflib
from typing import Any

from freeze.errors import FreezeError, Log
from freeze.graph.graphdef import VARIABLE_OPS, Graph, GraphDef, node_name, split, tensor_name
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
NO_OUTPUT = ("NoOp", "Assert", "SaveV2", "AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp")
GOOD = ("features", "feature", "embedding", "embeddings", "l2_normalize", "truediv", "output", "descriptor", "encoding")


def resolve_output(graph_def: GraphDef, asked: str | None, log: Log, choose: bool = True) -> str:
    """The output's tensor name.

    Parameters
    ----------
    choose : bool
        Where none is named, take the only one that can be meant; a training graph has too many for that.

    Raises
    ------
    FreezeError
        OUTPUT_NOT_GIVEN, OUTPUT_UNKNOWN, OUTPUT_IS_OPERATION.
    """
    graph = Graph(graph_def)
    if not asked:
        likely = outputs(graph_def)
        sinks = [r for r in likely if not graph.uses(r)]
        if choose and (len(likely) == 1 or (len(sinks) == 1 and node_name(sinks[0]) == "features")):
            chosen = likely[0] if len(likely) == 1 else sinks[0]
            log.note(
                "OUTPUT_CHOSEN",
                f"output {node_name(chosen)} is used: it is the only one that can be meant",
                [node_name(chosen)],
            )
            return tensor_name(chosen)
        raise FreezeError(
            "OUTPUT_NOT_GIVEN",
            "no output is named; these tensors of the graph could be the features",
            f"name it: --output {likely[0] if likely else 'NAME'}",
            described(graph_def, likely),
        )
    found = _find(graph, asked, "output", log)
    if found is None:
        likely = outputs(graph_def)
        near = nearest(asked, graph)
        raise FreezeError(
            "OUTPUT_UNKNOWN",
            f"the output '{asked}' is not in the graph (it has {len(graph.nodes)} nodes)",
            f"did you mean --output {near[0]}?" if near else "give one of the likely outputs above",
            described(graph_def, list(dict.fromkeys([*near, *likely]))),
        )
    node = graph.producer(found)
    if node.op in NO_OUTPUT:
        raise FreezeError(
            "OUTPUT_IS_OPERATION",
            f"'{asked}' is an operation of type {node.op}, not a tensor: it has no output value",
            "name a tensor with --output",
            described(graph_def, outputs(graph_def)),
        )
    return found


def resolve_input(graph_def: GraphDef, asked: str | None, output: str, log: Log) -> str:
    """The input's tensor name.

    Raises
    ------
    FreezeError
        INPUT_UNKNOWN, INPUT_NOT_GIVEN, INPUT_PIPELINE, INPUT_IS_OUTPUT.
    """
    graph = Graph(graph_def)
    if asked:
        found = _find(graph, asked, "input", log)
        if found is None:
            places = described(
                graph_def, [*nearest(asked, graph)[:2], *(n.name for n in graph_def.node if n.op in SOURCES)]
            )
            near = nearest(asked, Graph(type(graph_def)(node=[n for n in graph_def.node if n.op in SOURCES])))
            raise FreezeError(
                "INPUT_UNKNOWN",
                f"the input '{asked}' is not in the graph; its placeholders are listed",
                f"did you mean --input {near[0]}?" if near else "give one of the placeholders, or the tensor to cut at",
                places,
            )
        if node_name(found) == node_name(output):
            raise FreezeError(
                "INPUT_IS_OUTPUT", f"'{asked}' is both input and output", "name two different tensors", [asked]
            )
        return found
    above = graph.ancestors([output])
    feeds = [n.name for n in graph_def.node if n.name in above and n.op in SOURCES]
    images = _images(graph_def, feeds)
    if len(images) == 1:
        log.note(
            "INPUT_CHOSEN",
            f"input {images[0]} is used: it is the only placeholder of images that the output needs",
            images,
        )
        return tensor_name(images[0])
    pipes = [n.name for n in graph_def.node if n.name in above and n.op in PIPELINES]
    pipes = _images(graph_def, pipes) or pipes
    if pipes and not images:
        raise FreezeError(
            "INPUT_PIPELINE",
            f"the images come from {graph.nodes[pipes[0]].op} '{pipes[0]}' (a tf.data iterator or queue), "
            "there is no placeholder",
            f"cut the graph there: --input {pipes[0]}",
            described(graph_def, pipes),
        )
    if not feeds and not pipes:
        raise FreezeError(
            "DISCONNECTED",
            f"the output '{output}' does not depend on any input: nothing above it is fed",
            "check --output; and that the builder uses its images",
            described(graph_def, outputs(graph_def)) or [output],
        )
    raise FreezeError(
        "INPUT_NOT_GIVEN",
        "no input is named, and several placeholders (or none of images) lie above the output",
        f"name it: --input {(images or feeds or pipes)[0]}",
        described(graph_def, images or feeds or pipes),
    )


def connected(graph_def: GraphDef, input: str, output: str) -> None:
    """Raises DISCONNECTED where the output does not depend on the input."""
    graph = Graph(graph_def)
    if node_name(input) in graph.ancestors([output], control=False):
        return
    feeds = [n for n in graph.ancestors([output]) if graph.nodes[n].op in SOURCES + PIPELINES]
    raise FreezeError(
        "DISCONNECTED",
        f"the output '{output}' does not depend on the input '{input}': there is no path between them "
        "(disconnected), so every image would give the same features",
        "name the tensors of one tower; the output depends on: " + (", ".join(sorted(feeds)) or "no input at all"),
        [input, output],
    )


def _find(graph: Graph, asked: str, side: str, log: Log) -> str | None:
    """The tensor meant by a name: with or without :0 or ^, exact, or under one scope more."""
    asked = asked.strip().removeprefix("^").removeprefix("import/") if asked not in graph else asked
    name, index = split(asked)
    if name in graph.nodes:
        return f"{name}:{max(index, 0)}"
    deeper = [n for n in graph.nodes if n.endswith("/" + name) and not n.startswith(("gradients/", "save/"))]
    if len(deeper) == 1:
        log.note(
            f"{side.upper()}_PREFIX",
            f"there is no '{name}'; '{deeper[0]}' is used, the only node of that name (under the prefix "
            f"'{deeper[0].removesuffix(name)}')",
            deeper,
        )
        return f"{deeper[0]}:{max(index, 0)}"
    if len(deeper) > 1 and len({_variables(graph, n) for n in deeper}) == 1 and _variables(graph, deeper[0]):
        first = min(deeper)
        others = ", ".join(sorted(set(deeper) - {first}))
        log.note(
            "TOWER_CHOSEN",
            f"there is no '{name}'; '{first}' is used, the first of {len(deeper)} towers that share their variables "
            f"(the others: {others})",
            [first],
        )
        return f"{first}:{max(index, 0)}"
    return None


def _variables(graph: Graph, name: str) -> frozenset[str]:
    """The variables that a node depends on."""
    return frozenset(n for n in graph.ancestors([name], control=False) if graph.nodes[n].op in VARIABLE_OPS)


def nearest(asked: str, graph: Graph, count: int = 4) -> list[str]:
    """Node names that look like `asked`, the whole name or its last part."""
    names = [n for n in graph.nodes if not n.startswith(("gradients/", "save/"))]
    close = difflib.get_close_matches(node_name(asked), names, count, 0.6)
    last: dict[str, str] = {}
    for n in names:
        last.setdefault(n.rsplit("/", 1)[-1], n)
    close += [last[m] for m in difflib.get_close_matches(node_name(asked).rsplit("/", 1)[-1], list(last), count, 0.75)]
    return list(dict.fromkeys(close))[:count]


def outputs(graph_def: GraphDef, count: int = 8, least: float = -9) -> list[str]:
    """Names of the tensors that could be features, the likeliest first: rank 2, floating, depending on an image."""
    graph, shapes = Graph(graph_def), Shapes(graph_def)
    sources = [n.name for n in graph_def.node if n.op in SOURCES + PIPELINES]
    below = graph.descendants(sources)
    scored = []
    for place, node in enumerate(graph_def.node):
        if node.name not in below or node.op in SOURCES + PIPELINES or node.name.startswith(("gradients", "save/")):
            continue
        dims, tensor = shapes.of(node.name), shapes.tensor(node.name)
        if dims is None or len(dims) != 2 or not tensor.dtype.is_floating or (dims[1] or 0) < 2:
            continue
        last = node.name.rsplit("/", 1)[-1].rstrip("_0123456789").lower()
        score = (
            4 * (last in GOOD) + 2 * (not graph.uses(node.name)) - 3 * ("logit" in last) + place / len(graph_def.node)
        )
        scored.append((score, node.name))
    return [n for s, n in sorted(scored, reverse=True)[:count] if s >= least]


def _images(graph_def: GraphDef, names: list[str]) -> list[str]:
    """Those of the placeholders whose shape can be a batch of images."""
    shapes = Shapes(graph_def)
    found = []
    for name in names:
        dims, tensor = shapes.of(name), shapes.tensor(name)
        if (
            tensor is not None
            and (dims is None or len(dims) == 4)
            and (tensor.dtype.is_floating or tensor.dtype.is_integer)
        ):
            found.append(name)
    ranked = [n for n in found if shapes.of(n) is not None]
    return ranked or found


def described(graph_def: GraphDef, names: list[Any]) -> list[str]:
    """`name dtype [shape]` for messages."""
    shapes = Shapes(graph_def)
    return [shapes.text(n) for n in names]
