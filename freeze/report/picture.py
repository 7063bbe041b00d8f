"""Draws a GraphDef as SVG: boxes in layers from input to output, marked where something was mended.

Loads no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape

from freeze.graph.graphdef import VARIABLE_OPS, Graph, GraphDef, node_name, topological

# What holds or passes on a value without computing: left out, edges go through it.
SILENT = {"Const", "Identity", "ReadVariableOp", "NoOp", "StopGradient", "Assert", *VARIABLE_OPS}
BOXES = 160  # more nodes than this are drawn by scope
WIDTH, HEIGHT, GAP = 210, 36, 20  # of a box and around it, pixels
LETTERS = 30  # of a name that fit into a box


@dataclass
class Box:
    """A node, or all nodes of one scope; `x`, `y` are its upper left corner in pixels."""

    name: str
    ops: list[str] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    above: list[str] = field(default_factory=list)
    layer: int = 0
    x: float = 0.0
    y: float = 0.0


def svg(graph_def: GraphDef, marks: Mapping[str, str]) -> str:
    """An `<svg>` element.

    Parameters
    ----------
    marks : Mapping[str, str]
        Node name -> what was done to it; its box is drawn in another colour and says so.
    """
    boxes = _boxes(graph_def, marks)
    width, height = _place(boxes)
    lines = [_line(boxes[source], box) for box in boxes.values() for source in box.above]
    shapes = [_shape(box) for box in boxes.values()]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f"{''.join(lines)}{''.join(shapes)}</svg>"
    )


def _boxes(graph_def: GraphDef, marks: Mapping[str, str]) -> dict[str, Box]:
    """Boxes by name, in an order in which most edges point forward."""
    graph = Graph(graph_def)
    order = [n for n in topological(graph_def) if n.op not in SILENT or n.name in marks]
    group = _groups([n.name for n in order])
    boxes: dict[str, Box] = {}
    for node in order:
        box = boxes.setdefault(group[node.name], Box(group[node.name]))
        box.ops.append(node.op)
        if node.name in marks:
            box.marks.append(f"{node.name}: {marks[node.name]}")
        for source in _sources(graph, node.input, set(group)):
            above = group[source]
            # Scopes can depend on one another: only the edge from the earlier one is drawn.
            if above != box.name and above in boxes and above not in box.above:
                box.above.append(above)
                box.layer = max(box.layer, boxes[above].layer + 1)
    return boxes


def _sources(graph: Graph, refs: Iterable[str], drawn: set[str]) -> list[str]:
    """The drawn nodes that data inputs come from, through silent ones."""
    found, todo, seen = [], [node_name(r) for r in refs if not r.startswith("^")], set()
    while todo:
        name = todo.pop(0)
        if name in seen or name not in graph.nodes:
            continue
        seen.add(name)
        if name in drawn:
            found.append(name)
        else:
            todo += [node_name(i) for i in graph.nodes[name].input if not i.startswith("^")]
    return found


def _groups(names: list[str]) -> dict[str, str]:
    """Node name -> box name: itself, or the deepest scope at which few enough boxes are left."""
    if len(names) <= BOXES:
        return {n: n for n in names}
    for depth in range(max(n.count("/") for n in names), 0, -1):
        group = {n: "/".join(n.split("/")[:depth]) for n in names}
        if len(set(group.values())) <= BOXES:
            break
    return group


def _place(boxes: dict[str, Box]) -> tuple[int, int]:
    """Gives every box its corner; returns width and height of the picture."""
    layers: dict[int, list[Box]] = {}
    for box in boxes.values():
        layers.setdefault(box.layer, []).append(box)
    width = max((len(row) for row in layers.values()), default=1) * (WIDTH + GAP) + GAP
    for layer, row in sorted(layers.items()):
        row.sort(key=lambda b: sum(boxes[a].x for a in b.above) / len(b.above) if b.above else 0.0)
        left = (width - len(row) * (WIDTH + GAP) + GAP) / 2
        for k, box in enumerate(row):
            box.x, box.y = left + k * (WIDTH + GAP), GAP + layer * (HEIGHT + GAP)
    return width, (max(layers, default=0) + 1) * (HEIGHT + GAP) + GAP


def _shape(box: Box) -> str:
    kind = "mended" if box.marks else "plain"
    what = box.ops[0] if len(box.ops) == 1 else f"{len(box.ops)} operations"
    name = box.name if len(box.name) <= LETTERS else "…" + box.name[1 - LETTERS :]
    hint = "\n".join([f"{box.name} ({what})", *box.marks])
    return (
        f'<g class="{kind}"><title>{escape(hint)}</title>'
        f'<rect x="{box.x:.0f}" y="{box.y:.0f}" width="{WIDTH}" height="{HEIGHT}" rx="5"/>'
        f'<text x="{box.x + 8:.0f}" y="{box.y + 15:.0f}" class="op">{escape(what)}</text>'
        f'<text x="{box.x + 8:.0f}" y="{box.y + 29:.0f}">{escape(name)}</text></g>'
    )


def _line(above: Box, below: Box) -> str:
    x1, y1, x2, y2 = above.x + WIDTH / 2, above.y + HEIGHT, below.x + WIDTH / 2, below.y
    bend = (y2 - y1) / 2
    # An edge that skips layers swings out, so that it is not hidden behind the boxes in between.
    out = 0.62 * WIDTH if below.layer - above.layer > 1 and abs(x1 - x2) < WIDTH / 2 else 0.0
    points = (x1, y1), (x1 + out, y1 + bend), (x2 + out, y2 - bend), (x2, y2)
    start, *curve = (f"{x:.0f} {y:.0f}" for x, y in points)
    return f'<path d="M{start}C{" ".join(curve)}"/>'
