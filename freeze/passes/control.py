"""Takes out update operations that hang on the output as control dependencies, or stand in its way as values."""

from __future__ import annotations

from freeze.graph import ASSIGN_OPS, Graph, GraphDef, copied, node_name
from freeze.job import Job

FRAMES = {"Switch", "RefSwitch", "Merge", "RefMerge", "Enter", "RefEnter", "LoopCond"}


def without_updates(graph_def: GraphDef, job: Job) -> GraphDef:
    """Control inputs stay only where they place a node in a branch or loop; assignments read as values give the
    variable.
    """
    new = copied(graph_def)
    graph = Graph(graph_def)
    dropped: set[str] = set()
    for node in new.node:
        for ref in [i for i in node.input if i.startswith("^")]:
            above = {graph.nodes[n].op for n in graph.ancestors([ref])}
            target = graph.nodes.get(node_name(ref))
            frame = target is not None and any(graph.nodes[n].op in FRAMES for n in _near(graph, ref))
            if above & ASSIGN_OPS and not (frame and not _assigns_near(graph, ref)):
                dropped.add(node_name(ref))
                node.input.remove(ref)
            elif not frame:
                node.input.remove(ref)
    read = _as_values(new, graph)
    if dropped or read:
        job.log.repair(
            "UPDATE_OPS",
            sorted(dropped | read),
            "update operations (assign to moving averages or counters) hung on the output as "
            "control dependencies: taken off, a frozen graph assigns nothing",
        )
    return new


def _near(graph: Graph, ref: str) -> set[str]:
    """The control node itself and, through identities, what it passes on."""
    return {node_name(ref), node_name(graph.through(node_name(ref)))}


def _assigns_near(graph: Graph, ref: str) -> bool:
    return any(graph.nodes[n].op in ASSIGN_OPS for n in _near(graph, ref))


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
