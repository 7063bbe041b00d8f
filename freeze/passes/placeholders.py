"""Placeholders besides the images: bound to what inference feeds, or refused."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from freeze.errors import Finding
from freeze.graph.graphdef import ASSIGN_OPS, RANDOM_OPS, Graph, GraphDef, add_const, copied, pruned
from freeze.job import INPUT, Job, Passed
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


def bind_placeholders(job: Job) -> Passed:
    """Placeholders that --bind, their kind or their name give an inference value become constants."""
    tf = import_tensorflow()
    new, findings, feeds = job.graph, [], {}
    for node in [n for n in job.graph.node if n.op in OPS and n.name != INPUT]:
        dtype = tf.as_dtype(node.attr["dtype"].type)
        value, why = _value(new, node, dtype, job)
        if value is None:
            continue
        feeds[node.name] = np.asarray(value, dtype.as_numpy_dtype)
        new = _replaced(new, node.name, feeds[node.name])
        why = f"placeholder {node.name} is bound to {value}: {why}"
        findings.append(Finding("PLACEHOLDER_BOUND", why, (node.name,), arithmetic=True))
    new, taken = _defaults(new)
    if taken:
        why = "these placeholders keep their default value: nothing feeds them when tracking"
        findings.append(Finding("PLACEHOLDER_DEFAULT", why, tuple(taken), "note"))
    return Passed(new, job.head, tuple(findings), feeds)


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


def _defaults(graph_def: GraphDef) -> tuple[GraphDef, list[str]]:
    """Placeholders with a default that remain take it: nothing feeds them when tracking."""
    new, taken = copied(graph_def), []
    for node in new.node:
        if node.op == "PlaceholderWithDefault" and node.name != INPUT:
            node.op = "Identity"
            dtype = node.attr["dtype"].type
            node.ClearField("attr")
            node.attr["T"].type = dtype
            taken.append(node.name)
    return new, taken
