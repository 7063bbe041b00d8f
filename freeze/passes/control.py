"""Takes out update operations that hang on the output as control dependencies, or stand in its way as values."""

from __future__ import annotations

from freeze.errors import Finding
from freeze.graph.graphdef import ASSIGN_OPS, Graph, GraphDef, copied, node_name
from freeze.job import Job, Passed

FRAMES = {"Switch", "RefSwitch", "Merge", "RefMerge", "Enter", "RefEnter", "LoopCond"}


def drop_updates(job: Job) -> Passed:
    """Control inputs stay only where they place a node in a branch or loop.

    Assignments read as values give the variable.
    """
    new = copied(job.graph)
    graph = Graph(job.graph)
    updates = graph.descendants([n.name for n in job.graph.node if n.op in ASSIGN_OPS], control=True)
    dropped: set[str] = set()
    for node in new.node:
        for ref in [i for i in node.input if i.startswith("^")]:
            if not _places(graph, node_name(ref)):
                node.input.remove(ref)
                if node_name(ref) in updates:
                    dropped.add(node_name(ref))
    read = _as_values(new, graph)
    if not dropped and not read:
        return Passed(new, job.head)
    why = (
        "update operations (assign to moving averages or counters) hung on the output as control dependencies: "
        "taken off, a frozen graph assigns nothing"
    )
    return Passed(new, job.head, (Finding("UPDATE_OPS", why, tuple(sorted(dropped | read))),))


def _places(graph: Graph, name: str) -> bool:
    """A control input on this node says in which branch or loop something runs: it is the pivot, or waits for it."""
    todo, seen = [name], set()
    while todo:
        name = todo.pop()
        node = graph.nodes.get(name)
        if node is None or name in seen:
            continue
        seen.add(name)
        if node.op in FRAMES:
            return True
        if node.op == "NoOp":
            todo += [node_name(i) for i in node.input]
        elif node.op == "Identity":
            todo.append(node_name(node.input[0]))
    return False


def _as_values(new: GraphDef, graph: Graph) -> set[str]:
    """Data inputs that are the result of an assignment to a ref variable read the variable instead, in place."""
    found = set()
    for node in new.node:
        for k, ref in enumerate(node.input):
            source = graph.nodes.get(node_name(ref))
            if (
                not ref.startswith("^")
                and source is not None
                and source.op in ("Assign", "AssignAdd", "AssignSub")
                and node.op not in ASSIGN_OPS
            ):
                found.add(source.name)
                while source is not None and source.op in ("Assign", "AssignAdd", "AssignSub"):
                    ref = source.input[0]
                    source = graph.nodes.get(node_name(ref))
                node.input[k] = ref
    return found
