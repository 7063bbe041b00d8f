"""Questions to the syntax tree of a builder's source: names read and bound, calls, parameters."""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterator

Definition = ast.FunctionDef | ast.ClassDef


def parameters(function: ast.FunctionDef, bound: bool = False) -> dict[str, ast.expr | None]:
    """Parameter -> default; without the first one of a method."""
    a = function.args
    positional = [*a.posonlyargs, *a.args]
    defaults: list[ast.expr | None] = [*([None] * (len(positional) - len(a.defaults))), *a.defaults]
    found = dict(zip((p.arg for p in positional), defaults, strict=True))
    if bound and positional:
        del found[positional[0].arg]
    return found | dict(zip((p.arg for p in a.kwonlyargs), a.kw_defaults, strict=True))


def given(call: ast.Call, names: list[str]) -> dict[str, ast.expr]:
    """Arguments of a call by parameter."""
    return dict(zip(names, call.args, strict=False)) | {k.arg: k.value for k in call.keywords if k.arg}


def plain(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run once and for certain: at module level, and in `with` there."""
    for statement in body:
        if isinstance(statement, ast.With):
            yield from plain(statement.body)
        elif not isinstance(statement, Definition | ast.If | ast.For | ast.While | ast.Try):
            yield statement


def flat(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements of the module's own namespace, those in compound statements too."""
    for statement in body:
        yield statement
        if not isinstance(statement, Definition):
            for name in ("body", "orelse", "finalbody"):
                yield from flat(getattr(statement, name, []))
            for handler in getattr(statement, "handlers", []):
                yield from flat(handler.body)


def calls(statement: ast.stmt) -> list[ast.Call]:
    """Calls in a statement, the inner ones first."""
    return [n for n in reversed(list(ast.walk(statement))) if isinstance(n, ast.Call)]


def loads(node: ast.AST) -> set[str]:
    """Names that are read."""
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def attributes(node: ast.AST) -> set[str]:
    """Names behind a dot."""
    return {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}


def binds(statement: ast.stmt) -> list[str]:
    """Module-level names that a statement sets, or changes in part (`x.y = ...`, `x[0] = ...`)."""
    if isinstance(statement, Definition):
        return [statement.name]
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return [(a.asname or a.name).split(".")[0] for a in statement.names]
    names = [n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store | ast.Del)]
    parts = [
        n for n in ast.walk(statement) if isinstance(n, ast.Attribute | ast.Subscript) and isinstance(n.ctx, ast.Store)
    ]
    inner = [n for s in flat([statement]) if s is not statement for n in binds(s)]
    return [*names, *(r for p in parts if (r := root_name(p))), *inner]


def root_name(node: ast.expr) -> str:
    """`tf` of `tf.compat.v1.layers`."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return name_of(node)


def name_of(node: ast.expr) -> str:
    """A plain name, "" for anything else."""
    return node.id if isinstance(node, ast.Name) else ""


def evaluated(definition: Definition) -> list[ast.AST]:
    """What a definition evaluates when it is met: decorators, default values, a class's bases and body."""
    if isinstance(definition, ast.FunctionDef):
        a = definition.args
        return [*definition.decorator_list, *a.defaults, *(d for d in a.kw_defaults if d is not None)]
    return [*definition.decorator_list, *definition.bases, *definition.keywords]


def global_names(table: symtable.SymbolTable) -> set[str]:
    """Names of the module that a function, or a class with its methods, refers to."""
    own = {
        s.get_name()
        for s in table.get_symbols()
        if s.is_global() or (table.get_type() == "class" and s.is_referenced())
    }
    return own.union(*(global_names(t) for t in table.get_children()))
