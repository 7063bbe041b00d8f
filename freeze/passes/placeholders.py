"""Placeholders besides the images: bound to what inference feeds, or refused."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from freeze.errors import FreezeError
from freeze.graph.graphdef import ASSIGN_OPS, RANDOM_OPS, Graph, GraphDef, add_const, copied, node_name, pruned, split
from freeze.job import INPUT, Job
from freeze.passes.branches import fold
from tracker.core.tensorflow import import_tensorflow

OPS = ("Placeholder", "PlaceholderWithDefault", "PlaceholderV2")
TRAINING = re.compile(
    r"(is_?)?(in_?)?train(ing)?(_?(phase|mode|flag))?|learning_?phase|phase(_?train)?|dropout_?on|use_?dropout",
    re.IGNORECASE,
)
INFERENCE = re.compile(r"(is_?)?(infer(ence|ring)?|test(ing)?|eval(uation)?|deterministic|frozen)", re.IGNORECASE)
KEEP = re.compile(r".*keep(_?prob(ability)?)?(_?\w{0,6})?$", re.IGNORECASE)
RATE = re.compile(r".*(drop(out)?(_?(rate|prob(ability)?|p))?)$", re.IGNORECASE)


def bound(graph_def: GraphDef, job: Job) -> GraphDef:
    """Placeholders that --bind, their kind or their name give an inference value become constants."""
    tf = import_tensorflow()
    new = graph_def
    for node in [n for n in graph_def.node if n.op in OPS and n.name != INPUT]:
        dtype = tf.as_dtype(node.attr["dtype"].type)
        value, why = _value(new, node, dtype, job)
        if value is None:
            continue
        new = _replaced(new, node.name, np.asarray(value, dtype.as_numpy_dtype))
        job.feeds = {**(job.feeds or {}), node.name: np.asarray(value, dtype.as_numpy_dtype)}
        job.mend("PLACEHOLDER_BOUND", [node.name], f"placeholder {node.name} is bound to {value}: {why}")
    return _defaults(new, job)


def _value(graph_def: GraphDef, node: Any, dtype: Any, job: Job) -> tuple[Any, str]:
    last = node.name.rsplit("/", 1)[-1]
    asked = {k.removesuffix(":0"): v for k, v in job.request.bind.items()}
    if node.name in asked or last in asked:
        return dtype.as_numpy_dtype(asked.get(node.name, asked.get(last))), "as asked with --bind"
    scalar = not node.attr["shape"].shape.dim or "shape" not in node.attr
    if dtype.name == "bool":
        return _training_flag(graph_def, node.name, last, job)
    if not scalar:
        return None, ""
    if dtype.is_integer and TRAINING.fullmatch(last):
        return 0, "it switches training mode on (by its name); inference needs it off"
    if dtype.is_floating and KEEP.match(last) and _feeds_random(graph_def, node.name):
        return 1.0, "it is dropout's keep probability; inference keeps everything"
    if dtype.is_floating and RATE.match(last) and _feeds_random(graph_def, node.name):
        return 0.0, "it is dropout's rate; inference drops nothing"
    return None, ""


def _training_flag(graph_def: GraphDef, name: str, last: str, job: Job) -> tuple[Any, str]:
    """False or True for a bool placeholder: the value under which no training operation is left; else by its name."""
    count = {
        v: _training_operations(fold(_replaced(graph_def, name, np.asarray(v)))[0], job.head) for v in (False, True)
    }
    if count[False] != count[True]:
        value = count[True] < count[False]
        return (
            value,
            "it is the training switch: with the other value batch statistics, dropout or updates would be active",
        )
    if TRAINING.fullmatch(last):
        return False, "it switches training mode on (by its name); inference needs it off"
    if INFERENCE.fullmatch(last):
        return True, "it switches inference on (by its name)"
    return None, ""


def _training_operations(graph_def: GraphDef, head: str) -> int:
    graph_def = pruned(graph_def, [head])
    graph = Graph(graph_def)
    count = 0
    for node in graph_def.node:
        fused = node.op.startswith("FusedBatchNorm") and node.attr["is_training"].b
        moments = node.op == "Mean" and any(c.op == "SquaredDifference" for c in graph.consumers.get(node.name, ()))
        count += node.op in RANDOM_OPS or node.op in ASSIGN_OPS or fused or moments
    return count


def _feeds_random(graph_def: GraphDef, name: str) -> bool:
    """Something below the placeholder also depends on random numbers, as in dropout."""
    graph = Graph(graph_def)
    random = [n.name for n in graph_def.node if n.op in RANDOM_OPS]
    return bool(graph.descendants([name]) & graph.descendants(random)) if random else False


def _replaced(graph_def: GraphDef, name: str, value: np.ndarray) -> GraphDef:
    new = copied(graph_def)
    new.node.remove(next(n for n in new.node if n.name == name))
    add_const(new, name, value)
    return new


def _defaults(graph_def: GraphDef, job: Job) -> GraphDef:
    """Placeholders with a default that remain take it: nothing feeds them when tracking."""
    new, taken = copied(graph_def), []
    for node in new.node:
        if node.op == "PlaceholderWithDefault" and node.name != INPUT:
            node.op = "Identity"
            dtype = node.attr["dtype"].type
            node.ClearField("attr")
            node.attr["T"].type = dtype
            taken.append(node.name)
    if taken:
        job.log.note(
            "PLACEHOLDER_DEFAULT",
            "these placeholders keep their default value: nothing feeds them when tracking",
            taken,
        )
    return new


def refused(graph_def: GraphDef, job: Job) -> GraphDef:
    """Raises PLACEHOLDER_NOT_FED where another placeholder is still needed; the graph is passed on unchanged."""
    graph = Graph(graph_def)
    left = [n.name for n in graph_def.node if n.op in OPS and n.name != INPUT]
    if left:
        needs = {p: [c.name for c in graph.consumers.get(p, ())] for p in left}
        raise FreezeError(
            "PLACEHOLDER_NOT_FED",
            "the output needs "
            + " and ".join(f"placeholder '{p}' (read by {', '.join(c[:4])})" for p, c in needs.items())
            + " besides the images, and nothing feeds it when tracking: you must feed a value or set one",
            f"bind it to a constant value: --bind {left[0]}=VALUE, or export the inference graph",
            _path(graph, left[0], job.head),
        )
    return graph_def


def _path(graph: Graph, source: str, head: str) -> list[str]:
    """Node names from a placeholder down to the output."""
    todo, came = [source], {source: ""}
    while todo:
        name = todo.pop(0)
        if name == split(head)[0]:
            path = [name]
            while came[path[-1]]:
                path.append(came[path[-1]])
            return (
                [" -> ".join(reversed(path))]
                if len(path) < 9
                else [" -> ".join([*reversed(path[-4:]), "…", *reversed(path[:3])])]
            )
        for consumer in graph.consumers.get(name, ()):
            if consumer.name not in came:
                came[consumer.name] = node_name(name)
                todo.append(consumer.name)
    return [source]
