"""Imports Python files that belong to the user, and explains what they raise."""

from __future__ import annotations
import __future__

import ast
import contextlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from freeze.errors import FreezeError
from freeze.load import old_layers
from freeze.load.syntax import binds, loads
from tracker.core.tensorflow import import_tensorflow


@dataclass
class LeftOut:
    """What of a file was not run, because it failed before the network was built.

    Attributes
    ----------
    lines : dict[int, str]
        Line of a statement -> what it raised.
    causes : dict[str, Exception]
        Name that is missing therefore -> the first error that it goes back to.
    """

    lines: dict[int, str] = field(default_factory=dict)
    causes: dict[str, BaseException] = field(default_factory=dict)

    def cause(self, error: BaseException) -> BaseException:
        """The error that `error` goes back to: why the name that it lacks is missing."""
        return self.causes.get(str(error.name), error) if isinstance(error, NameError) else error

    def likeliest(self) -> BaseException | None:
        """The error that most of what is missing goes back to."""
        roots = list(self.causes.values())
        return max(roots, key=lambda e: sum(r is e for r in roots), default=None)


def imported(path: Path) -> ModuleType:
    """The module in a file of the user's; it runs as the user's own code."""
    module, loader = _module(path)
    with _as_main(path):
        loader.exec_module(module)
    return module


def in_steps(path: Path, body: list[ast.stmt], left: LeftOut, **given: Any) -> ModuleType:
    """The module of some statements of a file, run one by one.

    One that fails and computes with no tensor (an import, data that is not there, arguments of a command line) is left
    out, and with it the names that it would have bound: what needs those fails in turn.

    Parameters
    ----------
    path : Path
        The file.
    body : list[ast.stmt]
        The statements to run.
    left : LeftOut
        Told of what was left out.
    **given : Any
        Names that the module has from the start.
    """
    module, _ = _module(path)
    names = vars(module)
    names.update(given)
    flags = 0
    for statement in body:
        if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
            flags |= sum(getattr(__future__, a.name).compiler_flag for a in statement.names)
        tree = ast.fix_missing_locations(ast.Module([statement], []))
        code = compile(tree, str(path), "exec", flags, dont_inherit=True)
        try:
            with _as_main(path):
                exec(code, names)  # noqa: S102  # the user's own file
        except (Exception, SystemExit) as e:  # the user's code: anything
            if any(_holds_tensor(names.get(n)) for n in loads(statement)):
                raise
            root = left.cause(e)
            left.lines[statement.lineno] = f"{type(e).__name__}: {str(e)[:100]}"
            for name in binds(statement):
                names.pop(name, None)
                left.causes[name] = root
    return module


def _holds_tensor(value: Any, deep: bool = True) -> bool:
    """A tensor, or something that has one."""
    tf = import_tensorflow()
    if tf.is_tensor(value):
        return True
    inner = value if isinstance(value, list | tuple) else value.values() if isinstance(value, dict) else ()
    if not inner and not isinstance(value, ModuleType | type):
        inner = getattr(value, "__dict__", {}).values()
    return deep and any(_holds_tensor(v, deep=False) for v in list(inner)[:1000])


def _module(path: Path) -> tuple[ModuleType, Any]:
    spec = importlib.util.spec_from_file_location("freeze_builder_" + re.sub(r"\W", "_", path.stem), path)
    if spec is None or spec.loader is None:
        raise FreezeError("BUILDER_UNREADABLE", f"{path} is no Python file", "give a .py file", [str(path)])
    return importlib.util.module_from_spec(spec), spec.loader


@contextlib.contextmanager
def _as_main(path: Path) -> Iterator[None]:
    """While inside, modules beside the file are found, and the command line is the file's own, without options."""
    argv, sys.argv = sys.argv, [str(path)]
    sys.path.insert(0, str(path.parent))
    try:
        yield
    finally:
        sys.path.remove(str(path.parent))
        sys.argv = argv


class explained:  # noqa: N801  # read as a word: `with explained(path)`
    """Turns whatever a builder raises into an error that names the line and, where known, the cure."""

    def __init__(self, path: Path, left: LeftOut | None = None) -> None:
        self.path, self.left = path, left or LeftOut()

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, (FreezeError, KeyboardInterrupt)):
            return
        if (cause := self.left.cause(error)) is not error:
            error, trace = cause, cause.__traceback__
        frames = [f for f in traceback.extract_tb(trace) if Path(f.filename) == self.path]
        line = f"{self.path.name}:{frames[-1].lineno}: {frames[-1].line}" if frames else self.path.name
        if isinstance(error, SyntaxError):
            line = f"{self.path.name}:{error.lineno}: {(error.text or '').strip()}"
        dead = old_layers.dead_api(error, line)
        if dead:
            raise FreezeError(
                "DEAD_API", f"{dead[0]} ({type(error).__name__}: {str(error).splitlines()[0][:200]})", dead[1], [line]
            ) from None
        raise FreezeError(
            "BUILDER_FAILED",
            f"the builder raised {type(error).__name__}: {str(error).strip()[:600]}",
            "mend the builder; it is called with a placeholder of images inside a tf.Graph "
            "(check --image-shape HxWxC and --dtype uint8|float32)",
            [line],
        ) from None
