"""Imports Python files that belong to the user, and explains what they raise."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from freeze.errors import FreezeError
from freeze.load import old_layers


def imported(path: Path, tree: ast.Module | None = None, **given: Any) -> ModuleType:
    """The module in a file of the user's; it runs as the user's own code.

    Parameters
    ----------
    path : Path
        The file.
    tree : ast.Module or None
        The statements to run; None runs all of them.
    **given : Any
        Names that the module has from the start.
    """
    spec = importlib.util.spec_from_file_location("freeze_builder_" + re.sub(r"\W", "_", path.stem), path)
    if spec is None or spec.loader is None:
        raise FreezeError("BUILDER_UNREADABLE", f"{path} is no Python file", "give a .py file", [str(path)])
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    vars(module).update(given)
    try:
        if tree is None:
            spec.loader.exec_module(module)
        else:
            exec(compile(ast.fix_missing_locations(tree), str(path), "exec"), vars(module))  # noqa: S102  # the user's own file
    finally:
        sys.path.remove(str(path.parent))
    return module


class explained:  # noqa: N801  # read as a word: `with explained(path)`
    """Turns whatever a builder raises into an error that names the line and, where known, the cure."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, (FreezeError, KeyboardInterrupt)):
            return
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
