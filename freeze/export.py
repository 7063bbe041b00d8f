"""The last form of the graph, deterministic bytes, and an atomic write of graph and contract."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from freeze.errors import FreezeError
from freeze.graph.graphdef import GraphDef, add_node, copied, node_name, pruned, topological, vacate
from freeze.job import INPUT, OUTPUT, Job
from tracker.core.tensorflow import import_tensorflow
from tracker.encoder.contract import contract_path

HARMLESS = (
    "_output_shapes",
    "_class",
    "_XlaMustCompile",
    "_lower_using_switch_merge",
    "_read_only_resource_inputs",
    "_input_shapes",
    "_noinline",
    "_grappler_do_not_remove",
    "_acd_function_control_output",
    "_has_manual_control_dependencies",
)


def finished(job: Job) -> GraphDef:
    """One placeholder `images`, one output `features`, and nothing but what computes it.

    Names and edges decide the order of the nodes.
    """
    new = copied(job.graph)
    head = _free_output_name(new, job.head)
    add_node(new, OUTPUT, "Identity", [head], T=import_tensorflow().float32)
    new = pruned(new, [OUTPUT])
    new.library.Clear()
    for node in new.node:
        node.device = ""
        node.ClearField("experimental_debug_info")
        for key in HARMLESS:
            if key in node.attr:
                del node.attr[key]
    order = topological(new)
    result = type(new)(versions=new.versions)
    result.node.extend(order)
    return result


def _free_output_name(new: GraphDef, head: str) -> str:
    """Renames whatever node is called `features` already; returns the head's name after that."""
    other = vacate(new, OUTPUT, "_raw")
    return other + head[len(OUTPUT) :] if other and node_name(head) == OUTPUT else head


def serialised(graph_def: GraphDef) -> bytes:
    """The same bytes for the same graph.

    Raises
    ------
    FreezeError
        TOO_LARGE.
    """
    try:
        content: bytes = graph_def.SerializeToString(deterministic=True)
        return content
    except ValueError as e:
        raise FreezeError(
            "TOO_LARGE",
            f"the frozen graph is larger than the 2 GiB that a protocol buffer holds ({e})",
            "freeze a smaller network",
        ) from None


@contextmanager
def staged(out: Path, data: bytes) -> Iterator[Path]:
    """A temporary file beside `out` with the graph's bytes, gone when the block ends; `publish` moves it into place."""
    out = Path(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{out.stem}-", suffix=".pb", dir=out.parent)
        with os.fdopen(handle, "wb") as f:
            f.write(data)
    except OSError as e:
        raise FreezeError(
            "OUTPUT_NOT_WRITABLE", f"{out} cannot be written: {e.strerror}", "give another --out", [str(out)]
        ) from None
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
        contract_path(Path(name)).unlink(missing_ok=True)


def publish(staged_graph: Path, contract_json: str, out: Path) -> None:
    """Moves graph and contract to their names.

    The old contract goes first, so that no moment shows a pair that does not belong together.
    """
    out = Path(out)
    side = contract_path(staged_graph)
    side.write_text(contract_json)
    try:
        mask = os.umask(0)
        os.umask(mask)
        for path in (staged_graph, side):
            path.chmod(0o666 & ~mask)
        contract_path(out).unlink(missing_ok=True)
        os.replace(staged_graph, out)
        os.replace(side, contract_path(out))
    except OSError as e:
        raise FreezeError(
            "OUTPUT_NOT_WRITABLE", f"{out} cannot be written: {e.strerror}", "give another --out", [str(out)]
        ) from None


def only_constants(graph_def: GraphDef) -> list[str]:
    """What must not be in a frozen graph: placeholders besides `images`, variables, functions."""
    from freeze.graph.graphdef import RANDOM_OPS, VARIABLE_OPS

    bad = {"Placeholder", "PlaceholderWithDefault", *VARIABLE_OPS, *RANDOM_OPS}
    return [n.name for n in graph_def.node if n.op in bad and n.name != INPUT]
