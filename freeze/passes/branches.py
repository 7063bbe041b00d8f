"""Takes the branch that inference takes, where the condition does not depend on the images.

That is tf.cond as Switch and Merge.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from freeze.errors import Finding
from freeze.graph.graphdef import Graph, GraphDef, add_const, copied, node_name, replace_tensor, split
from freeze.job import Job, Passed
from freeze.passes.evaluate import constant, values

SWITCHES = ("Switch", "RefSwitch")
MERGES = ("Merge", "RefMerge")


def fold_branches(job: Job) -> Passed:
    """Switch and Merge, and scalar Select, with a constant condition are gone.

    The branch not taken falls away when pruned.
    """
    new, merged = fold(job.graph)
    why = "conditions that are constant in inference were decided, the other branch is gone"
    return Passed(new, job.head, (Finding("BRANCH_FOLDED", why, tuple(merged), "note"),) if merged else ())


def fold(graph_def: GraphDef) -> tuple[GraphDef, list[str]]:
    """The folded graph and the names of the decided nodes; nested conditions are folded from the outside in."""
    new = copied(graph_def)
    decided: list[str] = []
    while True:
        graph = Graph(new)
        conditions = _conditions(graph)
        if not conditions:
            return new, decided
        dead = _dead(graph, conditions)
        changed = _merge(new, graph, dead) + _select(new, graph, conditions)
        for name, value in conditions.items():
            node = graph.nodes[name]
            if node.op in SWITCHES:
                replace_tensor(new, f"{name}:{int(value)}", node.input[0], skip=[name])
        gone = {n for n, outputs in dead.items() if outputs == {-1}} | {
            n for n in conditions if graph.nodes[n].op in SWITCHES
        }
        keep = [n for n in new.node if n.name not in gone]
        decided += changed
        rest = type(new)(node=keep, library=new.library, versions=new.versions)
        _drop_control(rest, gone)
        new = rest


def _conditions(graph: Graph) -> dict[str, bool]:
    """Value of the condition of every switch and scalar select whose condition is constant."""
    nodes = [n for n in graph.nodes.values() if n.op in SWITCHES or n.op in ("Select", "SelectV2")]
    refs = {n.name: n.input[1 if n.op in SWITCHES else 0] for n in nodes}
    known = {n: r for n, r in refs.items() if constant(graph, r)}
    unique = sorted(set(known.values()))
    found: dict[str, Any] = dict(zip(unique, values(graph.graph_def, unique), strict=True))
    return {n: bool(np.asarray(found[r])) for n, r in known.items() if np.asarray(found[r]).size == 1}


def _dead(graph: Graph, conditions: dict[str, bool]) -> dict[str, set[int]]:
    """Dead outputs by node; {-1} where the whole node is dead."""
    dead: dict[str, set[int]] = {n: {0 if v else 1} for n, v in conditions.items() if graph.nodes[n].op in SWITCHES}

    def is_dead(ref: str) -> bool:
        name, index = split(ref)
        return bool(dead.get(name, set()) & ({-1} if index < 0 else {-1, index}))

    todo = list(dead)
    while todo:
        for node in graph.consumers.get(todo.pop(), ()):
            if dead.get(node.name) == {-1}:
                continue
            refs = [is_dead(i) for i in node.input]
            if all(refs) if node.op in MERGES else any(refs):
                dead[node.name] = {-1}
                todo.append(node.name)
    return dead


def _merge(new: GraphDef, graph: Graph, dead: dict[str, set[int]]) -> list[str]:
    changed = []
    for node in graph.nodes.values():
        if node.op not in MERGES or dead.get(node.name) == {-1}:
            continue
        data = [i for i in node.input if not i.startswith("^")]
        alive = [k for k, i in enumerate(data) if not dead.get(node_name(i), set()) & {-1, split(i)[1]}]
        if len(alive) == 1 and len(data) > 1:
            index = add_const(new, graph.fresh(node.name + "/taken"), np.int32(alive[0])).name
            replace_tensor(new, f"{node.name}:1", index)
            replace_tensor(new, node.name, data[alive[0]], skip=[node.name])
            changed.append(node.name)
            new.node.remove(next(n for n in new.node if n.name == node.name))
            for other in new.node:
                for k, ref in enumerate(other.input):
                    if ref == "^" + node.name:
                        other.input[k] = "^" + node_name(data[alive[0]])
    return changed


def _select(new: GraphDef, graph: Graph, conditions: dict[str, bool]) -> list[str]:
    changed = []
    for name, value in conditions.items():
        node = graph.nodes[name]
        if node.op in ("Select", "SelectV2"):
            replace_tensor(new, name, node.input[1 if value else 2], skip=[name])
            new.node.remove(next(n for n in new.node if n.name == name))
            changed.append(name)
    return changed


def _drop_control(graph_def: GraphDef, gone: set[str]) -> None:
    for node in graph_def.node:
        for ref in [i for i in node.input if i.startswith("^") and i[1:] in gone]:
            node.input.remove(ref)
