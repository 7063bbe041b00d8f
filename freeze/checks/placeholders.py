"""Placeholders besides the images that are left when all that can be bound is bound."""

from __future__ import annotations

from freeze.checks.outputs import SOURCES
from freeze.errors import FreezeError
from freeze.graph.graphdef import Graph, node_name, split
from freeze.job import INPUT, Job


def check_placeholders(job: Job) -> None:
    """Raises PLACEHOLDER_NOT_FED where another placeholder than the images is still needed."""
    graph = Graph(job.graph)
    left = [n.name for n in job.graph.node if n.op in SOURCES and n.name != INPUT]
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
