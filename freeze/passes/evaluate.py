"""Values of the parts of a graph that do not depend on the images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from freeze.graph.graphdef import RANDOM_OPS, VARIABLE_OPS, Graph, GraphDef, copied, node_name, pruned, tensor_name
from freeze.graph.runner import Runner

CONTROL_FLOW = {
    "Switch",
    "Merge",
    "Enter",
    "Exit",
    "NextIteration",
    "LoopCond",
    "RefSwitch",
    "RefMerge",
    "RefEnter",
    "RefExit",
    "RefNextIteration",
    "ControlTrigger",
}
SOURCES = {"Placeholder", "PlaceholderWithDefault", "PlaceholderV2"}


def constant(graph: Graph, ref: str, allow: Iterable[str] = ()) -> bool:
    """True where a tensor depends on constants alone (and on `allow`ed nodes)."""
    allow = set(allow)
    above = graph.ancestors([ref], stop=allow, control=False)
    changing = CONTROL_FLOW | SOURCES | RANDOM_OPS | VARIABLE_OPS
    return all(n in allow or graph.nodes[n].op not in changing for n in above) and node_name(ref) in graph.nodes


def values(graph_def: GraphDef, refs: list[str], feeds: Mapping[str, Any] | None = None) -> list[Any]:
    """Arrays of tensors that `constant` holds for; `feeds` gives values to allowed nodes."""
    if not refs:
        return []
    free = copied(graph_def)
    for (
        node
    ) in free.node:  # a constant in a branch or loop hangs on it by a control input and has the same value anywhere
        for ref in [i for i in node.input if i.startswith("^")]:
            node.input.remove(ref)
    with Runner(pruned(free, refs)) as runner:
        values: list[Any] = runner.run([tensor_name(r) for r in refs], dict(feeds or {}))
        return values
