"""`python -m freeze inspect FILE`: what it is, what could be input and output, its variables, what would fail."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from freeze.errors import FreezeError, Log, listed
from freeze.sniff import Kind, sniff
from tracker.core.command_line import Parser, guarded
from tracker.core.text import tell
from tracker.errors import TrackerError

READ = 50_000_000  # checkpoints of fewer values than this are read through, so that damage shows


def main(argv: list[str]) -> int:
    """Prints the description; exit code 1 where nothing here can read the file."""
    p = Parser(prog="python -m freeze inspect", description="Say what a file is and what freezing it would meet.")
    p.add_argument("path", type=Path)
    path = p.parse_args(argv).path
    return guarded(lambda: _read(path))


def _read(path: Path) -> int:
    """As `_described`; what a parser of TensorFlow, Keras or HDF5 did not expect is damage. Raises TrackerError."""
    try:
        return _described(path)
    except Exception as e:
        if isinstance(e, TrackerError | BrokenPipeError) or os.environ.get("TRACKER_TRACEBACK"):
            raise
        reason = " ".join(str(e).split())[:200] or type(e).__name__
        raise TrackerError(f"{path}: is damaged: {reason}\n  remedy: copy or download it again") from e


def _described(path: Path) -> int:
    """Prints the description; 1 where nothing here reads the file.

    Raises
    ------
    TrackerError
        It cannot be read.
    """
    kind = sniff(path)
    tell(f"{path}: {kind.text}")
    if kind.option is None:
        tell(f"  not readable here: {kind.remedy}", sys.stderr)
        return 1
    for line in describe(path, kind):
        tell(f"  {line}")
    return 0


def describe(path: Path, kind: Kind) -> Iterator[str]:
    """Lines about a readable model."""
    yield f"freeze it with {kind.option} {path}"
    readers = {
        "meta": _meta,
        "graphdef": _graphdef,
        "pbtxt": _graphdef,
        "checkpoint": _checkpoint,
        "saved_model": _saved_model,
        "keras": _keras,
        "builder": _builder,
    }
    if kind.name in readers:
        yield from readers[kind.name](path)


def _graph(graph_def: Any, producer_ops: Any = None) -> Iterator[str]:
    from freeze.checks import names, operations, outputs
    from freeze.graph.graphdef import ASSIGN_OPS, RANDOM_OPS, VARIABLE_OPS, Graph, normalises_each_image
    from tracker.core import graph_ops

    graph = Graph(graph_def)
    yield f"{len(graph.nodes)} nodes, {len(graph_def.library.function)} functions"
    sources = outputs.SOURCES + outputs.PIPELINES
    feeds = [n.name for n in graph_def.node if n.op in sources and not n.name.startswith("save/")]
    inert = operations.inert(graph_def)
    yield "inputs that could be meant: " + (listed(names.described(inert, feeds)) or "none")
    likely = outputs.described(inert, outputs.candidates(inert))
    yield "outputs that could be meant, the likeliest first: " + ("" if likely else "none")
    yield from (f"  {line}" for line in likely)
    variables = [n.name for n in graph_def.node if n.op in VARIABLE_OPS]
    yield f"{len(variables)} variables" + (f": {listed(variables)}" if variables else " (frozen already)")
    training = [
        n.name
        for n in graph_def.node
        if n.op.startswith("FusedBatchNorm") and "Grad" not in n.op and n.attr["is_training"].b
        if not normalises_each_image(graph, n, feeds)
    ]
    if training:
        yield f"batch norm in training mode (would be rewired): {listed(training)}"
    random = [n.name for n in graph_def.node if n.op in RANDOM_OPS and "initializer" not in n.name.lower()]
    if random:
        yield f"random operations (dropout would be removed, others refused): {listed(random)}"
    asked = graph_ops.refused(graph_def, also={*VARIABLE_OPS, *operations.IN_MEMORY, *ASSIGN_OPS, *RANDOM_OPS})
    if asked:
        yield f"refused where the output needs it, without --unsafe: {graph_ops.listed(asked, 8)}"

    def attributes(graph_def: Any) -> None:
        operations.drop_newer_attributes(graph_def, producer_ops)

    for check in (operations.check_known, attributes, operations.check_freezable):
        try:
            check(graph_def)
        except FreezeError as e:
            yield f"would fail if the output needs it: {e}"


def _meta(path: Path) -> Iterator[str]:
    from freeze.load.metagraph import read
    from tracker.core.tensorflow import import_tensorflow

    import_tensorflow()
    meta = read(path)
    yield f"written by TensorFlow {meta.meta_info_def.tensorflow_version or '?'}"
    yield from _graph(meta.graph_def, meta.meta_info_def.stripped_op_list)


def _graphdef(path: Path) -> Iterator[str]:
    from freeze.load.graphdef import load
    from freeze.request import Request

    yield from _graph(load(Request(graphdef=path), Log()).graph_def)


def _checkpoint(path: Path) -> Iterator[str]:
    from freeze.load.checkpoint import Checkpoint

    log = Log()
    checkpoint = Checkpoint.open(path, log)
    yield from (f.why for f in log.findings)
    names = checkpoint.names()
    total = sum(_size(checkpoint.shapes[n]) for n in names)
    yield f"{len(names)} variables, {total:,} values"
    yield from _averages(checkpoint, total)
    for name in names:
        wrong = ""
        if total < READ:
            try:
                checkpoint.read(name)
            except FreezeError as e:
                wrong = f" would fail: {e.cause}"
        yield f"  {name} {checkpoint.dtypes[name].name} {list(checkpoint.shapes[name])}{wrong}"


def _averages(checkpoint: Any, total: int) -> Iterator[str]:
    """A line about moving averages beside plain values."""
    from freeze.load.variables import averages_beside

    both, form = averages_beside(checkpoint.names(), checkpoint)
    if not both:
        return
    text = f"{len(both)} variables have moving averages ({form}) beside them"
    if total < READ:
        try:
            far = max(_apart(checkpoint.read(k), checkpoint.read(a)) for k, a in both.items())
        except FreezeError:
            return
        text += f", which differ by up to {far:.2g} of a variable's size" if far else ", which are equal"
    yield f"{text}: the plain values are used unless --ema yes is given"


def _apart(value: Any, average: Any) -> float:
    """Norm of the difference, relative to the value's."""
    import numpy as np

    return float(np.linalg.norm(value - average) / max(float(np.linalg.norm(value)), 1e-12))


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for d in shape:
        size *= d
    return size


def _saved_model(path: Path) -> Iterator[str]:
    from freeze.load.saved_model import describe as signature
    from freeze.load.saved_model import read
    from tracker.core.tensorflow import import_tensorflow

    import_tensorflow()
    folder = path if path.is_dir() else path.parent
    for meta in read(folder).meta_graphs:
        written = meta.meta_info_def.tensorflow_version or "?"
        yield f"tags {', '.join(meta.meta_info_def.tags)}; written by TensorFlow {written}"
        found = {k: v for k, v in sorted(meta.signature_def.items()) if not k.startswith("__") and v.outputs}
        yield from (f"--signature {k}: {signature(v)}" for k, v in found.items())
        if not found:
            yield "would fail: it has no signature (save it with signatures=...)"
    yield from _checkpoint(folder / "variables" / "variables")


def _keras(path: Path) -> Iterator[str]:
    from freeze.load import keras2, keras_config
    from tracker.core.tensorflow import import_tensorflow

    config = keras_config.read(path)
    layers = [o for o in keras_config.objects(config) if isinstance(o.get("inbound_nodes"), list)] or [
        o for o in keras_config.objects(config) if isinstance(o.get("config"), dict) and "name" in o["config"]
    ]
    yield f"{len(layers)} layers: " + listed([f"{keras_config.name_of(o)} ({o['class_name']})" for o in layers])
    for side in ("input", "output"):
        ends = (config.get("config") or {}).get(f"{side}_layers") if isinstance(config.get("config"), dict) else None
        if ends:
            yield f"{side}s: {', '.join(_ends(ends))}"
    import_tensorflow()
    if keras2.written_by_keras2(config):
        yield "written by Keras 2 (would be translated)"
    known = set(keras2.call_layers())
    from freeze.load.keras_classes import unknown_functions

    custom = {**keras_config.strangers(config, known), **unknown_functions(config, known)}
    if custom:
        yield f"needs --custom-objects FILE.py with {listed(custom)}"
    if lambdas := keras_config.lambdas(config):
        yield f"would be refused without --unsafe: Lambda layers {listed(lambdas)}"
    if changed := keras_config.in_inference(config):
        yield f"called with training=True (would be mended): {listed(changed)}"
    if changed := keras_config.in_float32(config):
        yield f"computes in float16 (would be rebuilt in float32): {listed(changed)}"


def _ends(ends: Any) -> list[str]:
    """Layer names in `input_layers` or `output_layers`: one [name, node, tensor], a list or a dictionary of them."""
    if isinstance(ends, dict):
        return [n for v in ends.values() for n in _ends(v)]
    if ends and isinstance(ends[0], str):
        return [ends[0]]
    return [n for v in ends for n in _ends(v)]


def _builder(path: Path) -> Iterator[str]:
    """Read, not run: a script is the user's code, and may train."""
    try:
        tree = ast.parse(path.read_text())
    except (SyntaxError, ValueError) as e:
        yield f"would fail: {e}"
        return
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef)]
    yield "functions: " + (
        listed([f"{f.name}({', '.join(a.arg for a in f.args.args)})" for f in functions])
        or "none (its graph is built at module level)"
    )
    dead = sorted({d for d in ("tf.contrib", "tensorflow.contrib", "tf_slim") if d in path.read_text()})
    if dead:
        yield f"would fail: it uses {', '.join(dead)}, which TensorFlow 2 does not have"
