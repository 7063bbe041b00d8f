"""Reads a builder's source without running it: where it builds the network, and which statements that needs.

A training script often calls its network twice at module level, once with its training switch on and once off. Only one
call is wanted here, and nothing that stands in the file for training alone.
"""

from __future__ import annotations

import ast
import builtins
import copy
import symtable
from dataclasses import dataclass, field

from freeze.load import switches, syntax

RESULT = "__freeze_result__"
"""Name of the function that the wanted call is wrapped in, to get hold of its value."""
# What belongs to training or to a session, and is never needed to build the network.
RUNS = {"run", "Session", "InteractiveSession", "Saver", "restore", "save", "minimize", "compute_gradients", "fit"}
RUNS |= {"apply_gradients", "gradients", "FileWriter", "eval", "export", "write"}


@dataclass(frozen=True)
class BuildCall:
    """A call, at module level, of a function or class of the file that has a training switch.

    Attributes
    ----------
    owner : str
        The function or class.
    node : ast.Call
        The call that the switch belongs to.
    training : bool or None
        State of the switch; None where it is no constant.
    statement : ast.stmt
        Where the network is built by it: the call's own statement, or the one that calls the object it made.
    final : ast.Call
        The call in `statement` whose value is the network's output.
    """

    owner: str
    node: ast.Call
    training: bool | None
    statement: ast.stmt
    final: ast.Call

    @property
    def text(self) -> str:
        """`line 8: build_model(x, is_training=True)`."""
        return f"line {self.node.lineno}: {ast.unparse(self.node)[:100]}"


@dataclass
class Slice:
    """What to run of a file.

    Attributes
    ----------
    tree : ast.Module
        The statements that the wanted call or function needs, and the call.
    after : list[ast.stmt]
        Statements behind it that only compute something from its value.
    """

    tree: ast.Module
    after: list[ast.stmt] = field(default_factory=list)


class Script:
    """A builder's source."""

    def __init__(self, source: str, name: str) -> None:
        self.tree = _without_partials(ast.parse(source, name))
        self._tables = {
            (t.get_name(), t.get_lineno()): t for t in symtable.symtable(source, name, "exec").get_children()
        }
        self.defined: dict[str, syntax.Definition] = {
            s.name: s for s in syntax.flat(self.tree.body) if isinstance(s, syntax.Definition)
        }
        self._constants = {
            s.targets[0].id: s.value.value
            for s in self.tree.body
            if isinstance(s, ast.Assign) and isinstance(s.targets[0], ast.Name) and isinstance(s.value, ast.Constant)
        }
        self.calls = self._build_calls()
        self._building = {id(c.statement) for c in self.calls}
        plain = [
            s
            for s in syntax.flat(self.tree.body)
            if not isinstance(s, syntax.Definition | ast.If | ast.With | ast.For | ast.Try)
        ]
        guarded = {
            id(s)
            for g in self.tree.body
            if isinstance(g, ast.If) and "__name__" in syntax.loads(g.test)
            for s in syntax.flat([g])
        }
        self.called = {
            n
            for s in plain
            if id(s) not in guarded
            for c in syntax.calls(s)
            for n in syntax.loads(c.func)
            if n in self.defined
        }
        """Functions and classes that the script calls itself, at module level."""

    def _build_calls(self) -> list[BuildCall]:
        """Every call that builds the network at module level, in the order of the file."""
        calls: list[BuildCall] = []
        made: dict[str, tuple[str, ast.Call]] = {}  # variable -> (class, call of its constructor)
        for statement in syntax.plain(self.tree.body):
            for call in syntax.calls(statement):
                if (found := self._build_call(call, statement, made)) is not None:
                    calls = [c for c in calls if c.node is not found.node and c.final is not found.node]
                    calls.append(found)
            if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call):
                owner = syntax.name_of(statement.value.func)
                if isinstance(self.defined.get(owner), ast.ClassDef):
                    made |= {t.id: (owner, statement.value) for t in statement.targets if isinstance(t, ast.Name)}
        return calls

    def _build_call(
        self, call: ast.Call, statement: ast.stmt, made: dict[str, tuple[str, ast.Call]]
    ) -> BuildCall | None:
        """The call as a `BuildCall`, None where it is none."""
        owner, method, maker = self._callee(call, made)
        definition = self.defined.get(owner)
        if definition is None:
            return None
        if isinstance(definition, ast.FunctionDef):
            parameters = syntax.parameters(definition)
            return (
                BuildCall(owner, call, self._switch(call, parameters), statement, call)
                if switches.switch_of(parameters)
                else None
            )
        methods = {s.name: s for s in definition.body if isinstance(s, ast.FunctionDef)}
        for node, name in ((call, method), (maker, "__init__")):
            if (
                node is not None
                and name in methods
                and switches.switch_of(parameters := syntax.parameters(methods[name], bound=True))
            ):
                return BuildCall(owner, node, self._switch(node, parameters), statement, call)
        return None

    def _callee(self, call: ast.Call, made: dict[str, tuple[str, ast.Call]]) -> tuple[str, str, ast.Call | None]:
        """(function or class, method, constructor's call) of a call."""
        func = call.func
        if isinstance(func, ast.Name):
            if func.id in made:
                return made[func.id][0], "__call__", made[func.id][1]
            is_class = isinstance(self.defined.get(func.id), ast.ClassDef)
            return func.id, "__init__" if is_class else "", call if is_class else None
        if isinstance(func, ast.Call):  # Net(...)(images)
            return syntax.name_of(func.func), "__call__", func
        if isinstance(func, ast.Attribute):
            if isinstance(func.value, ast.Name) and func.value.id in made:
                return made[func.value.id][0], func.attr, made[func.value.id][1]
            if isinstance(func.value, ast.Call):
                return syntax.name_of(func.value.func), func.attr, func.value
        return "", "", None

    def _switch(self, call: ast.Call, parameters: dict[str, ast.expr | None]) -> bool | None:
        """Whether a call switches training on; None where the file alone does not say."""
        name = switches.switch_of(parameters)
        value = syntax.given(call, list(parameters)).get(name, parameters[name])
        if isinstance(value, ast.Name) and value.id in self._constants:
            value = ast.Constant(self._constants[value.id])
        state = switches.is_training(switches.literal(value))
        return not state if state is not None and switches.OPPOSITE.fullmatch(name) else state

    def for_call(self, call: BuildCall) -> Slice:
        """What `call` needs, with its switch off, and what is computed from it."""
        _switch_off(call, self._parameters_of(call))
        _wrap(self.tree, call.final)
        kept = self._needed(syntax.loads(call.statement), call.statement)
        bound = {n for s in kept for n in syntax.binds(s)} | set(self.defined)
        tainted = set(syntax.binds(call.statement))
        after: list[ast.stmt] = []
        for statement in _behind(self.tree.body, call.statement):
            needs = syntax.loads(statement)
            if not isinstance(statement, ast.Assign) or not needs & tainted or syntax.attributes(statement) & RUNS:
                continue
            if needs - bound - tainted - set(dir(builtins)) or needs & {call.owner}:
                continue
            after.append(statement)
            tainted |= set(syntax.binds(statement))
        return Slice(ast.Module(kept, []), after)

    def for_network(self) -> tuple[list[ast.stmt], list[int]]:
        """The statements without those that open sessions, save or train, and the lines of those."""
        trains = {n for n, d in self.defined.items() if syntax.attributes(d) & RUNS}
        dropped: list[int] = []
        return self._without_runs(self.tree.body, trains, dropped), dropped

    def _without_runs(self, body: list[ast.stmt], trains: set[str], dropped: list[int]) -> list[ast.stmt]:
        kept: list[ast.stmt] = []
        for statement in body:
            if isinstance(statement, syntax.Definition):
                kept.append(statement)
            elif isinstance(statement, ast.With):
                inner = self._without_runs(statement.body, trains, dropped)
                if inner:
                    kept.append(ast.copy_location(ast.With(statement.items, inner), statement))
            elif syntax.attributes(statement) & RUNS or (
                isinstance(statement, ast.Expr) and syntax.loads(statement) & trains
            ):
                dropped.append(statement.lineno)
            else:
                kept.append(statement)
        return kept

    def for_function(self, name: str) -> Slice | None:
        """What the function or class `name` needs; None where the file does not bind that name itself."""
        if not any(name in syntax.binds(s) for s in syntax.flat(self.tree.body)):
            return None
        return Slice(ast.Module(self._needed({name}, None), []))

    def _parameters_of(self, call: BuildCall) -> dict[str, ast.expr | None]:
        definition = self.defined[call.owner]
        if isinstance(definition, ast.FunctionDef):
            return syntax.parameters(definition)
        methods = {s.name: syntax.parameters(s, bound=True) for s in definition.body if isinstance(s, ast.FunctionDef)}
        if call.node is call.final and isinstance(call.node.func, ast.Attribute):
            return methods.get(call.node.func.attr, {})
        if (
            call.node is call.final
            and switches.switch_of(methods.get("__call__", {}))
            and syntax.name_of(call.node.func) != call.owner
        ):
            return methods["__call__"]
        return methods.get("__init__", {})

    def _needed(self, needed: set[str], target: ast.stmt | None) -> list[ast.stmt]:
        """Statements that bind the names `needed`, or names that those need; with `target`, and up to it."""
        needed = set(needed)
        while True:
            before = set(needed)
            kept = self._kept(self.tree.body, needed, target)
            if needed == before:
                return kept

    def _kept(self, body: list[ast.stmt], needed: set[str], target: ast.stmt | None) -> list[ast.stmt]:
        kept: list[ast.stmt] = []
        for statement in body:
            if statement is target:
                needed |= syntax.loads(statement)
                return [*kept, statement]
            if isinstance(statement, ast.With):
                inner = self._kept(statement.body, needed, target)
                if inner:
                    needed |= {n for item in statement.items for n in syntax.loads(item.context_expr)}
                    kept.append(ast.copy_location(ast.With(statement.items, inner), statement))
                if target is not None and any(s is target for s in syntax.flat([statement])):
                    return kept
            elif self._wanted(statement, needed):
                needed |= self._uses(statement)
                kept.append(statement)
        return kept

    def _wanted(self, statement: ast.stmt, needed: set[str]) -> bool:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            return True
        if isinstance(statement, ast.If) and "__name__" in syntax.loads(statement.test):
            return False
        if set(syntax.binds(statement)) & needed:
            return True
        if not isinstance(statement, ast.Expr) or not isinstance(statement.value, ast.Call):
            return False
        if id(statement) not in self._building and not syntax.attributes(statement) & RUNS:
            # `tf.disable_v2_behavior()`, `sys.path.append(...)`, `config.update(...)`
            return syntax.root_name(statement.value.func) in needed | self._imported and not (
                syntax.loads(statement) & set(self.defined)
            )
        return False

    @property
    def _imported(self) -> set[str]:
        return {
            n
            for s in syntax.flat(self.tree.body)
            if isinstance(s, ast.Import | ast.ImportFrom)
            for n in syntax.binds(s)
        }

    def _uses(self, statement: ast.stmt) -> set[str]:
        """Module-level names that a statement needs, inside functions too; their own local names do not count."""
        if not isinstance(statement, syntax.Definition):
            return syntax.loads(statement) | {
                n for s in syntax.flat([statement]) if isinstance(s, syntax.Definition) for n in self._uses(s)
            }
        outer = {n for e in syntax.evaluated(statement) for n in syntax.loads(e)}
        first = min([statement.lineno, *(d.lineno for d in statement.decorator_list)])
        table = self._tables.get((statement.name, statement.lineno)) or self._tables.get((statement.name, first))
        return outer | (syntax.global_names(table) if table is not None else syntax.loads(statement))


def _switch_off(call: BuildCall, parameters: dict[str, ast.expr | None]) -> None:
    """Sets the switch of a call to inference, in place."""
    if not call.training:
        return
    name = switches.switch_of(parameters)
    names = list(parameters)
    old = syntax.given(call.node, names).get(name, parameters.get(name))
    new: ast.expr
    if isinstance(old, ast.Attribute):
        new = ast.Attribute(old.value, "PREDICT", ast.Load())
    else:
        new = ast.Constant(switches.inference_value(name, switches.literal(old)))
    new = ast.fix_missing_locations(ast.copy_location(new, call.node))
    position = names.index(name)
    if position < len(call.node.args):
        call.node.args[position] = new
    else:
        call.node.keywords = [k for k in call.node.keywords if k.arg != name]
        call.node.keywords.append(ast.copy_location(ast.keyword(name, new), call.node))


def _without_partials(tree: ast.Module) -> ast.Module:
    """Calls of `net = functools.partial(build, is_training=True)` become calls of `build`, where their switch is seen.

    Names that are bound more than once stay as they are.
    """
    statements = list(syntax.flat(tree.body))
    names = [n for s in statements for n in syntax.binds(s)]
    defined = {s.name for s in statements if isinstance(s, ast.FunctionDef)}
    made = {
        s.targets[0].id: s.value
        for s in statements
        if isinstance(s, ast.Assign) and isinstance(s.targets[0], ast.Name) and isinstance(s.value, ast.Call)
    }
    partials = {
        name: call
        for name, call in made.items()
        if ast.unparse(call.func).rsplit(".", 1)[-1] == "partial"
        and call.args
        and isinstance(call.args[0], ast.Name)
        and call.args[0].id in defined
        and names.count(name) == 1
    }
    for call in [n for s in syntax.plain(tree.body) for n in syntax.calls(s)] if partials else ():
        if isinstance(call.func, ast.Name) and call.func.id in partials:
            first = copy.deepcopy(partials[call.func.id])
            given = {k.arg for k in call.keywords}
            call.func, call.args = first.args[0], [*first.args[1:], *call.args]
            call.keywords = [*(k for k in first.keywords if k.arg not in given), *call.keywords]
    return tree


def _wrap(tree: ast.Module, call: ast.Call) -> None:
    """Puts `RESULT(...)` around a call, in place."""
    inner = ast.copy_location(ast.Call(call.func, call.args, call.keywords), call)
    call.func, call.args, call.keywords = ast.copy_location(ast.Name(RESULT, ast.Load()), call), [inner], []
    ast.fix_missing_locations(tree)


def _behind(body: list[ast.stmt], target: ast.stmt) -> list[ast.stmt]:
    """Statements behind `target`, in its own block and in those around it."""
    plain = list(syntax.plain(body))
    return plain[plain.index(target) + 1 :]
