"""Runs a user's builder in a graph of its own and gives its variables values from a checkpoint.

Understood: `build(images) -> features`; `factory_fn(image, reuse)` as in the published scripts, also behind a function
that returns it; a class; a script that builds its graph at module level, once or (for training and inference) twice.
The file is the user's own code and runs as such; what it does for training alone is left out where that is possible.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from freeze.errors import FreezeError, Log, listed
from freeze.graph.graphdef import Graph, node_name, pruned
from freeze.load import old_layers
from freeze.load.calling import KNOWN, call, created_when_missing, features, name_of, needs, tensors_in
from freeze.load.graph_model import from_graph
from freeze.load.script import RESULT, BuildCall, Script
from freeze.load.user_code import LeftOut, explained, imported, in_steps
from freeze.model import Model
from freeze.request import Request
from tracker.core.tensorflow import import_tensorflow
from tracker.encoder.contract import sha256

FUNCTIONS = ("build", "factory_fn", "build_network", "build_model", "create_network", "network", "encoder", "model")
DEFAULT_SHAPE = (128, 64, 3)
TWICE = "already exists, disallowed"


def load(request: Request, log: Log) -> Model:
    """Raises FreezeError: BUILDER_*, BUILT_TWICE, DEAD_API, and what a checkpoint can be wrong with."""
    path, function = split_spec(str(request.builder))
    if not path.exists():
        raise FreezeError(
            "FILE_MISSING",
            f"the builder {path} does not exist",
            "check the path of --builder FILE.py[:FUNCTION]",
            [str(path)],
        )
    builder = Builder(path, request, log)
    graph, names = builder.built(function)
    provenance = {"source": "builder", "builder": path.name, "builder_sha256": sha256(path)}
    return from_graph(graph, request, log, provenance, **names)


def split_spec(spec: str) -> tuple[Path, str]:
    """`FILE.py:FUNCTION` -> (FILE.py, FUNCTION); the function may be left out."""
    found = re.match(r"^(.*\.py):(\w+)$", spec)
    return (Path(found.group(1)), found.group(2)) if found else (Path(spec), "")


class _WantsFloatError(Exception):
    """The builder's first operation refuses uint8."""


class _BuiltTwiceError(Exception):
    """The script makes a variable a second time, in the function `owner`."""

    def __init__(self, owner: str, line: int, variable: str) -> None:
        super().__init__(owner)
        self.owner, self.line, self.variable = owner, line, variable


Named = dict[str, Any]
"""`input`, `output`: tensor names where they are known; `held`: name in the module -> tensor name."""


class Builder:
    """One file, and the ways to get a graph out of it."""

    def __init__(self, path: Path, request: Request, log: Log) -> None:
        self.path, self.request, self.log = path, request, log
        self.left = LeftOut()
        with explained(path):
            self.script = Script(path.read_text(encoding="utf-8", errors="replace"), str(path))

    def built(self, function: str) -> tuple[Any, Named]:
        """The graph, and what is known of its tensors."""
        if not function and (chosen := self._inference_call()) is not None:
            return self._from_call(chosen)
        name = function or self._uncalled()
        if name:
            calls = [c for c in self.script.calls if c.owner == name]
            graph, names = self._from_function(name)
            if len(calls) > 1:
                self._log_twice(name, [c.text for c in calls], [c.node.lineno for c in calls], graph)
            return graph, names
        try:
            return self._from_module()
        except _BuiltTwiceError as e:
            return self._replayed(e)

    def _inference_call(self) -> BuildCall | None:
        """The call to freeze where the script calls one function or class several times with a constant switch."""
        for owner in dict.fromkeys(c.owner for c in self.script.calls):
            calls = [c for c in self.script.calls if c.owner == owner]
            if len(calls) > 1 and any(c.training is not None for c in calls):
                return next((c for c in calls if c.training is False), calls[0])
        return None

    def _uncalled(self) -> str:
        """A function with one of the usual names that the script itself does not call at module level."""
        return next((f for f in FUNCTIONS if f in self.script.defined and f not in self.script.called), "")

    def _from_call(self, chosen: BuildCall) -> tuple[Any, Named]:
        """The graph of one call of the script, with its switch off, and of what is computed from its value."""
        results: list[Any] = []

        def record(value: Any) -> Any:
            results.append(value)
            return value

        calls = [c for c in self.script.calls if c.owner == chosen.owner]
        places = [c.text for c in calls]
        part = self.script.for_call(chosen)
        with self._building():
            module = in_steps(self.path, part.tree.body, self.left, **{RESULT: record})
            _follow(module, part.after, self.path)
            value = results[-1]
            build = getattr(module, chosen.owner)
            if inspect.isclass(build) and isinstance(value, build):
                value = {k: v for k, v in vars(value).items() if import_tensorflow().is_tensor(v)}
            head = features(value, build, self.log)
        self._log_twice(chosen.owner, places, [c.node.lineno for c in calls], head.graph)
        others = {t.name for t in tensors_in(value)} - {head.name}  # returned beside the features, perhaps made of them
        held = {n: t for n, t in _held(module, head.graph).items() if t not in others and _below(head, t)}
        if len(held) > 1:
            return head.graph, self._asked({"held": held})
        return head.graph, self._asked({"held": None, "output": head.name})

    @contextlib.contextmanager
    def _building(self, log: Log | None = None) -> Iterator[Any]:
        """While inside, a new graph is the default one, the old layers are lent, and errors are explained."""
        graph, lent = import_tensorflow().Graph(), old_layers.lent(log or self.log)
        with graph.as_default(), lent, explained(self.path, self.left), created_when_missing():
            yield graph

    def _from_function(self, name: str) -> tuple[Any, Named]:
        """The graph of a function or class that is called here."""
        try:
            return self._called(name, as_float=False)
        except _WantsFloatError:
            found = self._called(name, as_float=True)
            self.log.note(
                "BUILDER_FLOAT", "the builder takes float images: it was given the uint8 pixels converted to float32"
            )
            return found

    def _called(self, name: str, as_float: bool) -> tuple[Any, Named]:
        log, wants_float = Log(), False
        with self._building(log):
            module = self._module_for(name)
            build = getattr(module, name, None)
            if not callable(build):
                raise FreezeError(
                    "BUILDER_FUNCTION",
                    f"{self.path.name} has no function '{name}'",
                    f"it has: {', '.join(self.script.defined) or 'none'}; give --builder {self.path}:FUNCTION",
                    [name],
                )
            try:
                given, head = self._call(build, module, as_float, log)
            except (TypeError, ValueError) as e:
                if as_float or self.request.dtype is not None or "uint8" not in str(e):
                    raise
                wants_float = True
        if wants_float:
            raise _WantsFloatError
        self.log.findings += log.findings
        used = given.graph is head.graph and given.op.name in _above(head)  # else it has a placeholder of its own
        return head.graph, self._asked({"input": given.name if used else None, "output": head.name})

    def _module_for(self, name: str) -> ModuleType:
        """The module with what the function needs; with everything where the source does not tell."""
        part = self.script.for_function(name)
        return imported(self.path) if part is None else in_steps(self.path, part.tree.body, self.left)

    def _call(self, build: Callable[..., Any], module: ModuleType, as_float: bool, log: Log) -> tuple[Any, Any]:
        """Makes the placeholder and calls; returns the tensors of input and output."""
        tf, request = import_tensorflow(), self.request
        if "factory" in name_of(build) and set(needs(build)) <= set(KNOWN) | {"is_training"}:
            build = build(*(KNOWN.get(n, False) for n in needs(build)))  # as published: it returns factory_fn
        shape = request.image_shape or DEFAULT_SHAPE
        dtype = request.dtype or ("float32" if request.scale else "uint8")  # a scale makes sense on floats alone
        images = tf.compat.v1.placeholder(tf.as_dtype(dtype), [None, *shape], name="images")
        given = tf.cast(images, tf.float32) if as_float else images
        if as_float and callable(preprocess := getattr(module, "_preprocess", getattr(module, "preprocess", None))):
            given = tf.map_fn(preprocess, given)  # the published script prepares one image at a time
        taken, head = call(build, given, log)
        return images if taken is given else taken, head

    def _from_module(self) -> tuple[Any, Named]:
        """The graph that the script builds at module level; or that of its function, where it builds none.

        What opens sessions, saves or trains is run only where the network cannot be built without it.
        """
        body, dropped = self.script.for_network()
        graph, module = self._run(lambda: in_steps(self.path, body, self.left))
        if (built := _built_graph(graph, module)) is None and dropped:
            graph, module = self._run(lambda: imported(self.path))
            built, dropped = _built_graph(graph, module), []
        if built is not None:
            self._log_left_out(dropped)
            return built, self._asked({"held": _held(module, built)})
        if (cause := self.left.likeliest()) is not None and not _functions(module):
            with explained(self.path):
                raise cause
        return self._from_function(_sole(module, self.path))

    def _run(self, run: Callable[[], ModuleType]) -> tuple[Any, ModuleType]:
        """The default graph and the module after the script has run.

        Raises
        ------
        _BuiltTwiceError
            It makes a variable again.
        """
        graph, found = import_tensorflow().Graph(), None
        with graph.as_default(), old_layers.lent(self.log), explained(self.path, self.left):
            try:
                return graph, run()
            except ValueError as e:
                found = self._second_call(e) if TWICE in str(e) else None
                if found is None:
                    raise
        raise found

    def _log_left_out(self, dropped: list[int]) -> None:
        """Says what of the script was not run."""
        failed = [f"line {n} ({why})" for n, why in sorted(self.left.lines.items())]
        if not dropped and not failed:
            return
        lines = [f"lines {', '.join(map(str, dropped))} (sessions, savers, training)"] if dropped else []
        why = f"of {self.path.name} not run, and not needed to build the network: {'; '.join([*lines, *failed])}"
        self.log.note("BUILDER_LEFT_OUT", why)

    def _second_call(self, error: ValueError) -> _BuiltTwiceError | None:
        """Which function of the file made a variable that was there already."""
        trace, variable = error.__traceback__, (re.findall(r"Variable (\S+) already", str(error)) or ["?"])[0]
        while trace is not None:
            code = trace.tb_frame.f_code
            owner = code.co_qualname.split(".")[0]
            if Path(code.co_filename) == self.path and owner in self.script.defined:
                return _BuiltTwiceError(owner, trace.tb_lineno, variable)
            trace = trace.tb_next
        return None

    def _replayed(self, twice: _BuiltTwiceError) -> tuple[Any, Named]:
        """The second call of a function that the script calls again and again, alone in a graph, its switch off."""
        places, lines = [f"line {twice.line} ({twice.variable})"], [twice.line]
        if isinstance(self.script.defined[twice.owner], ast.ClassDef):
            graph, names = self._from_function(twice.owner)
            self._log_twice(twice.owner, places, lines, graph)
            return graph, names
        tf = import_tensorflow()
        entry, first = self._arguments(twice)
        with self._building(Log()) as graph:
            tensors = {k: v for k, v in entry.items() if tf.is_tensor(v)}
            before = pruned(first.as_graph_def(), [t.op.name for t in tensors.values()])
            moved = tf.import_graph_def(before, name="", return_elements=[t.name for t in tensors.values()])
            entry |= dict(zip(tensors, moved, strict=True))
            build = getattr(self._module_for(twice.owner), twice.owner)
            _, head = call(build, None, self.log, entry)
        self._log_twice(twice.owner, places, lines, graph)
        return graph, self._asked({"output": head.name})

    def _arguments(self, twice: _BuiltTwiceError) -> tuple[dict[str, Any], Any]:
        """What the function was given when it was called for the second time, and the graph it was given it in."""
        calls: list[dict[str, Any]] = []

        def watch(frame: FrameType, event: str, _: Any) -> None:
            code = frame.f_code
            if event == "call" and code.co_name == twice.owner and Path(code.co_filename) == self.path:
                calls.append(dict(frame.f_locals))

        body, _ = self.script.for_network()
        runs: list[Callable[[], ModuleType]] = [
            lambda: in_steps(self.path, body, LeftOut()),
            lambda: imported(self.path),
        ]
        for run in runs:
            calls.clear()
            graph = import_tensorflow().Graph()
            with graph.as_default(), old_layers.lent(Log()):
                sys.setprofile(watch)
                try:
                    run()
                except ValueError:
                    break
                finally:
                    sys.setprofile(None)
        if not calls:
            raise FreezeError(
                "BUILT_TWICE",
                f"{self.path.name} builds its network twice without sharing: {twice.variable} is there already",
                f"give the function alone: --builder {self.path}:{twice.owner}",
                [f"line {twice.line} ({twice.owner})"],
            )
        return calls[-1], graph

    def _log_twice(self, owner: str, places: list[str], lines: list[int], graph: Any) -> None:
        names = _variables(graph)
        self.log.repair(
            "BUILT_TWICE",
            places,
            f"{self.path.name} builds the network more than once (function or class {owner}, lines "
            f"{', '.join(map(str, lines))}): a second call makes its variables ({listed(names, 6)}) again, which "
            "TensorFlow refuses ('Variable … already exists') or names anew, and nothing trains those. The call for "
            "inference alone was run, its training switch off, without what the file does for training",
        )

    def _asked(self, names: Named) -> Named:
        """Without what the user names otherwise."""
        given = {k for k in ("input", "output") if getattr(self.request, k) is not None}
        return {k: v for k, v in names.items() if v is not None and k not in given}


def _follow(module: ModuleType, statements: list[Any], path: Path) -> None:
    """Runs statements one by one until one fails: what stands behind the network is welcome, not needed."""
    for statement in statements:
        try:
            part = ast.fix_missing_locations(ast.Module([statement], []))
            exec(compile(part, str(path), "exec"), vars(module))  # noqa: S102  # the user's own file
        except Exception:  # the user's code: anything
            return


def _built_graph(graph: Any, module: ModuleType) -> Any:
    """The graph that a script has built: the one it was given, or the last of its own; None where it built none."""
    own = [v for v in vars(module).values() if isinstance(v, import_tensorflow().Graph)]
    return next((g for g in (graph, *reversed(own)) if g.get_operations()), None)


def _held(module: ModuleType, graph: Any) -> dict[str, str]:
    """Tensors of the graph in the module's own names: name -> tensor name."""
    tf = import_tensorflow()
    held = {k: v for k, v in vars(module).items() if tf.is_tensor(v) and hasattr(v, "op") and not k.startswith("_")}
    return {k: v.name for k, v in held.items() if v.graph is graph}


def _above(head: Any) -> set[str]:
    """Names of the operations that a tensor is computed from, its own included."""
    return Graph(head.graph.as_graph_def()).ancestors([head.name], control=False)


def _below(head: Any, tensor: str) -> bool:
    """A feature-like tensor that is `head` or computed from it."""
    t = head.graph.get_tensor_by_name(tensor)
    return t.dtype.is_floating and t.shape.rank in (None, 2) and node_name(head.name) in _above(t)


def _variables(graph: Any) -> list[str]:
    with graph.as_default():
        return [v.op.name for v in import_tensorflow().compat.v1.global_variables()]


def _functions(module: ModuleType) -> list[str]:
    """Names of the module's own functions."""
    return [k for k, v in vars(module).items() if inspect.isfunction(v) and v.__module__ == module.__name__]


def _sole(module: ModuleType, path: Path) -> str:
    """The only function there is, of a script that builds no graph when it is run."""
    own = _functions(module)
    known = [f for f in FUNCTIONS if f in own]
    factories = [f for f in own if "factory" in f]
    if known or len(own) == 1 or len(factories) == 1:
        return (known or factories or own)[0]
    raise FreezeError(
        "BUILDER_FUNCTION",
        f"{path.name} has no function `build(images)` and builds no graph when run",
        f"name its function: --builder {path}:FUNCTION" + (f" (it has {', '.join(own)})" if own else ""),
        [str(path)],
    )
