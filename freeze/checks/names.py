"""Which tensor is the input and which the output: as asked, as the source knows, or the only one that can be meant."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from freeze.checks import outputs
from freeze.checks.outputs import PIPELINES, SOURCES
from freeze.errors import FreezeError, Log
from freeze.graph.graphdef import VARIABLE_OPS, Graph, GraphDef, node_name, split, tensor_name
from freeze.graph.shapes import Shapes

NO_OUTPUT = ("NoOp", "Assert", "SaveV2", "AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp")


def resolve_output(graph_def: GraphDef, asked: str | None, log: Log, held: Mapping[str, str] | None = None) -> str:
    """The output's tensor name.

    Parameters
    ----------
    graph_def : GraphDef
        The graph as it was found.
    asked : str or None
        What the user names, or the source knows.
    log : Log
        Told of a choice.
    held : mapping or None
        Tensors that the names of a user's program hold: one of them can be the features.

    Raises
    ------
    FreezeError
        OUTPUT_NOT_GIVEN, OUTPUT_UNKNOWN, OUTPUT_IS_OPERATION.
    """
    if not asked:
        return _only_output(graph_def, log, held or {})
    graph = Graph(graph_def)
    found = _find(graph, asked, "output", log)
    if found is None:
        likely = outputs.candidates(graph_def)
        near = nearest(asked, graph)
        raise FreezeError(
            "OUTPUT_UNKNOWN",
            f"the output '{asked}' is not in the graph (it has {len(graph.nodes)} nodes)",
            f"did you mean --output {near[0]}?" if near else "give one of the likely outputs above",
            [
                *described(graph_def, [n for n in near if n not in {c.name for c in likely}]),
                *outputs.described(graph_def, sorted(likely, key=lambda c: c.name not in near)),
            ],
            shown=None,
        )
    node = graph.producer(found)
    if node.op in NO_OUTPUT:
        raise FreezeError(
            "OUTPUT_IS_OPERATION",
            f"'{asked}' is an operation of type {node.op}, not a tensor: it has no output value",
            "name a tensor with --output",
            outputs.described(graph_def, outputs.candidates(graph_def)),
            shown=None,
        )
    return found


def _only_output(graph_def: GraphDef, log: Log, held: Mapping[str, str]) -> str:
    """The output where none is named: what the program's own names tell, or the only tensor that can be meant."""
    found = outputs.candidates(graph_def)
    if (told := outputs.held_one(found, held)) is not None:
        return _chosen(told[1], f"the program calls it {told[0]}", log)
    if (one := outputs.only_one(found)) is not None:
        alone = "it is the only one that can be meant"
        last = "nothing else that can be meant is computed from it, from all others something is"
        return _chosen(one, alone if len(found) == 1 else last, log)
    raise FreezeError(
        "OUTPUT_NOT_GIVEN",
        f"no output is named, and {len(found) or 'no'} tensors of the graph could be the features",
        f"name it: --output {found[0].name if found else 'NAME'}",
        outputs.described(graph_def, found),
        shown=None,
    )


def _chosen(one: outputs.Candidate, why: str, log: Log) -> str:
    """Say which output is used; warn where it may be a classifier's."""
    said = f"output {one.name} is used: {why}"
    if one.classes:
        doubt = "scores of classes are made of it: if it is a classifier's last layer, name the one before it"
        log.warn("OUTPUT_CHOSEN", f"{said}; {doubt} with --output", [one.name])
    else:
        log.note("OUTPUT_CHOSEN", said, [one.name])
    return tensor_name(one.name)


def resolve_input(graph_def: GraphDef, asked: str | None, output: str, log: Log) -> str:
    """The input's tensor name.

    Raises
    ------
    FreezeError
        INPUT_UNKNOWN, INPUT_NOT_GIVEN, INPUT_PIPELINE, INPUT_IS_OUTPUT, DISCONNECTED.
    """
    graph = Graph(graph_def)
    if asked:
        return _asked_input(graph, asked, output, log)
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
    raise _no_input(graph, output, feeds, images, _images(graph_def, pipes) or pipes)


def _asked_input(graph: Graph, asked: str, output: str, log: Log) -> str:
    """The tensor that `--input` names. Raises INPUT_UNKNOWN, INPUT_IS_OUTPUT."""
    graph_def = graph.graph_def
    found = _find(graph, asked, "input", log)
    if found is None:
        sources = [n for n in graph_def.node if n.op in SOURCES]
        near = nearest(asked, Graph(type(graph_def)(node=sources)))
        raise FreezeError(
            "INPUT_UNKNOWN",
            f"the input '{asked}' is not in the graph; its placeholders are listed",
            f"did you mean --input {near[0]}?" if near else "give one of the placeholders, or the tensor to cut at",
            described(graph_def, [*nearest(asked, graph)[:2], *(n.name for n in sources)]),
        )
    if node_name(found) == node_name(output):
        raise FreezeError(
            "INPUT_IS_OUTPUT", f"'{asked}' is both input and output", "name two different tensors", [asked]
        )
    return found


def _no_input(graph: Graph, output: str, feeds: list[str], images: list[str], pipes: list[str]) -> FreezeError:
    """Why none of the placeholders and pipelines above the output is the input beyond doubt."""
    graph_def = graph.graph_def
    if pipes and not images:
        return FreezeError(
            "INPUT_PIPELINE",
            f"the images come from {graph.nodes[pipes[0]].op} '{pipes[0]}' (a tf.data iterator or queue), "
            "there is no placeholder",
            f"cut the graph there: --input {pipes[0]}",
            described(graph_def, pipes),
        )
    if not feeds and not pipes:
        return FreezeError(
            "DISCONNECTED",
            f"the output '{output}' does not depend on any input: nothing above it is fed",
            "check --output; and that the builder uses its images",
            outputs.described(graph_def, outputs.candidates(graph_def)) or [output],
            shown=None,
        )
    return FreezeError(
        "INPUT_NOT_GIVEN",
        "no input is named, and several placeholders (or none of images) lie above the output",
        f"name it: --input {(images or feeds or pipes)[0]}",
        described(graph_def, list(dict.fromkeys([*images, *feeds, *pipes]))),
        shown=None,
    )


def check_connected(graph_def: GraphDef, input: str, output: str) -> None:
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
