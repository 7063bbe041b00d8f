"""Gives the variables of a graph their values from a checkpoint, or says exactly what does not fit."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from freeze.errors import FreezeError, Log, listed
from freeze.load.checkpoint import PART, Checkpoint, gaps, too_large
from freeze.load.towers import SLOTS, scopes, trained_tower
from freeze.model import Values
from freeze.sniff import LIMIT

OTHER = r"(ema|avg|average|moving_average|shadow|polyak|swa)(_?(model|weights?|net|shadow))?"
AVERAGE = rf"(ExponentialMovingAverage|{OTHER})(_\d+)?"
BEHIND = re.compile(rf"[/_.]{AVERAGE}$", re.IGNORECASE)
BEFORE = re.compile(rf"^(\w+_)?{AVERAGE}[/.]", re.IGNORECASE)
BOOKKEEPING = ("global_step", "beta1_power", "beta2_power", "learning_rate")


@dataclass(frozen=True)
class Wanted:
    """A variable of the graph.

    Attributes
    ----------
    node : str
        Name of its node.
    key : str
        Name it is saved under, where the graph says so.
    shape : tuple[int, ...] or None
        None where the graph does not know it.
    dtype : Any
        tf.DType.
    part : str
        Slice specification of a partitioned variable (`"64 32 0,32:0,32"`), or "".
    local : bool
        It is a local variable, which savers leave out.
    """

    node: str
    key: str
    shape: tuple[int, ...] | None
    dtype: Any
    part: str = ""
    local: bool = False


def assign(wanted: list[Wanted], checkpoint: Checkpoint, log: Log, ema: str = "auto", built: bool = False) -> Values:
    """Values by node name, and the moving averages beside them.

    Parameters
    ----------
    wanted : list[Wanted]
        The variables in use.
    checkpoint : Checkpoint
        Where their values are.
    log : Log
        Told of every choice.
    ema : str
        `auto`, `yes` or `no`: moving averages instead of the values beside them.
    built : bool
        The graph was built here, so that its names need not be those of the copy that was trained.

    Raises
    ------
    FreezeError
        CHECKPOINT_MISSING_VARIABLES, CHECKPOINT_SHAPES, CHECKPOINT_DAMAGED, CHECKPOINT_NOT_FINITE, TOO_LARGE.
    """
    _check_graph_size(wanted)
    for w in wanted:
        checkpoint.join(w.key, _full(w) if w.part else w.shape)
    if any(w.key not in checkpoint.shapes for w in wanted):
        _join_elsewhere(wanted, checkpoint)
    keys = _keys(wanted, checkpoint, log, ema)
    if built and not any(w.part for w in wanted):
        keys = trained_tower(keys, {w.node: w.shape for w in wanted}, checkpoint, log)
    bad = [(w, checkpoint.shapes[keys[w.node]]) for w in wanted if not _fits(w, checkpoint.shapes[keys[w.node]])]
    if bad:
        raise _shapes(bad, len(wanted), checkpoint)
    checkpoint.check_size(sorted(set(keys.values())))

    def value(w: Wanted, key: str) -> np.ndarray:
        return _cast(_slice(checkpoint.read(key), w.part), w, key, log)

    values = {w.node: value(w, keys[w.node]) for w in wanted}
    beside = averages_beside(keys.values(), checkpoint).keys if ema == "auto" else {}
    shadows = {n: beside[k] for n, k in keys.items() if k in beside}
    averages = {w.node: value(w, shadows[w.node]) for w in wanted if w.node in shadows}
    _say_unused(checkpoint, {*keys.values(), *shadows.values()}, log)
    return Values(values, {n: a for n, a in averages.items() if not np.array_equal(a, values[n])})


def _join_elsewhere(wanted: list[Wanted], checkpoint: Checkpoint) -> None:
    """Joins parts of variables that the checkpoint holds under more or fewer scopes than the graph."""
    for base in checkpoint.parted():
        for w in wanted:
            if f"/{base}".endswith(f"/{w.key}") or f"/{w.key}".endswith(f"/{base}"):
                checkpoint.join(base, _full(w) if w.part else w.shape)


def _check_graph_size(wanted: list[Wanted]) -> None:
    """Refuses a network that no GraphDef can hold before anything is looked up."""
    sizes = {w.node: int(np.prod(w.shape, dtype=np.int64)) * w.dtype.size for w in wanted if w.shape is not None}
    if sum(sizes.values()) >= LIMIT:
        raise too_large(sum(sizes.values()), sorted(sizes, key=lambda n: -sizes[n])[:5])


def _fits(w: Wanted, shape: tuple[int, ...]) -> bool:
    return w.shape is None or (_full(w) == shape if w.part else tuple(w.shape) == shape)


def _full(w: Wanted) -> tuple[int, ...]:
    return tuple(int(n) for n in w.part.split(" ")[:-1])


def _slice(value: np.ndarray, part: str) -> np.ndarray:
    """The piece of a partitioned variable.

    `part` lists the full shape, then `start,length` (or `-`) per axis, by colons.
    """
    if not part:
        return value
    cut: list[slice] = []
    for axis in part.split(" ")[-1].split(":"):
        if axis == "-":
            cut.append(slice(None))
        else:
            start, length = (int(n) for n in axis.split(","))
            cut.append(slice(start, start + length))
    return value[tuple(cut)]


def _cast(value: np.ndarray, w: Wanted, key: str, log: Log) -> np.ndarray:
    dtype = w.dtype.as_numpy_dtype
    if value.dtype == dtype:
        return value
    if value.dtype.kind == "f" and np.dtype(dtype).kind in "fV":
        log.repair(
            "CHECKPOINT_DTYPE",
            [w.node],
            f"{key} is {value.dtype} in the checkpoint and {w.dtype.name} in the graph: converted",
        )
        return value.astype(dtype)
    raise FreezeError(
        "CHECKPOINT_DTYPE",
        f"{key} is {value.dtype} in the checkpoint, the graph's variable is {w.dtype.name}",
        "build the graph with the type that was trained",
        [w.node],
    )


def _keys(wanted: list[Wanted], checkpoint: Checkpoint, log: Log, ema: str) -> dict[str, str]:
    """Key by node name: as named, as averaged, by object graph, or under one prefix more or less."""
    named = {w.node: w.key for w in wanted}
    attempts: list[tuple[str, Callable[[str], str]]] = [("", lambda k: k)]
    if checkpoint.aliases:
        attempts.append(("", lambda k: checkpoint.aliases.get(k, k)))
    for _, rule in attempts:
        keys = {n: rule(k) for n, k in named.items()}
        if all(k in checkpoint.shapes for k in keys.values()):
            return _averaged(keys, checkpoint, log, ema)
    averages = averages_beside(named.values(), checkpoint)
    shadows = {n: k if k in checkpoint.shapes else averages.keys.get(k, "") for n, k in named.items()}
    if all(shadows.values()):
        why = f"the checkpoint holds moving averages only (EMA shadows, {averages.form}): these are used"
        log.note("CHECKPOINT_EMA", why, shadows)
        return shadows
    mapped = _prefixed(wanted, named, checkpoint, log)
    if mapped:
        return _averaged(mapped, checkpoint, log, ema)
    raise _missing(wanted, named, checkpoint)


def _averaged(keys: dict[str, str], checkpoint: Checkpoint, log: Log, ema: str) -> dict[str, str]:
    """Where moving averages lie beside the raw values: which of the two."""
    averages = averages_beside(keys.values(), checkpoint)
    shadows = {n: averages.keys[k] for n, k in keys.items() if k in averages.keys}
    named = [n for n, k in keys.items() if BEHIND.search(k) and BEHIND.sub("", k) in checkpoint.shapes]
    if ema == "yes" and not shadows and not named:
        cause = f"--ema yes, and the checkpoint {checkpoint.prefix.name} holds no moving averages ({averages.form})"
        raise FreezeError("CHECKPOINT_EMA", cause, "leave --ema out, or give the checkpoint that holds them", keys)
    if named:
        why = "the moving averages (EMA shadows) are used: the graph itself reads them, or its saver names them"
        log.note("CHECKPOINT_EMA", why, named)
    if not shadows or ema == "auto":
        return keys
    count = f"{len(shadows)} of {len(keys)} variables"
    beside = f"the checkpoint holds moving averages (EMA, {averages.form}) beside the values of {count}"
    log.note(
        "CHECKPOINT_EMA", f"{beside}: the {'averages' if ema == 'yes' else 'raw values'} are used, as asked", shadows
    )
    return {**keys, **shadows} if ema == "yes" else keys


class Averages(NamedTuple):
    """Moving averages of a checkpoint.

    Attributes
    ----------
    keys : dict[str, str]
        Key of a variable -> key of its average.
    form : str
        How they are named: `NAME/ExponentialMovingAverage`, `ema/NAME`.
    """

    keys: dict[str, str]
    form: str


def averages_beside(keys: Iterable[str], checkpoint: Checkpoint) -> Averages:
    """The moving averages that a checkpoint holds of these variables: named alike, with one ending or one scope more.

    Of several such namings the one that most variables have counts.
    """
    known = set(keys)
    forms: dict[tuple[str, str], dict[str, str]] = {}
    for average in checkpoint.names():
        end, start = BEHIND.search(average), BEFORE.match(average)
        base = average[: end.start()] if end else average[start.end() :] if start else ""
        scope = "" if end else average[: len(average) - len(base)]
        whole = known | checkpoint.parts.keys()
        while end and PART.sub("", base) not in whole and "/" in base:  # one made inside a scope has that in front
            cut, base = base.split("/", 1)
            scope += cut + "/"
        form = (scope, average[end.start() :] if end else "")
        if PART.sub("", base) in checkpoint.parts:
            forms.setdefault(form, {})
        elif base in known and average not in known:
            forms.setdefault(form, {})[base] = average
    for (scope, end_text), found in forms.items():
        for key in known & checkpoint.parts.keys():
            if checkpoint.join_like(key, scope, end_text):
                found[key] = f"{scope}{key}{end_text}"
    best = max(forms, key=lambda f: len(forms[f]), default=("", "/ExponentialMovingAverage"))
    found = {
        k: a
        for k, a in forms.get(best, {}).items()
        if k not in checkpoint.shapes or checkpoint.shapes[k] == checkpoint.shapes[a]
    }
    return Averages(found, f"{best[0]}NAME{best[1]}")


def _prefixed(wanted: list[Wanted], named: dict[str, str], checkpoint: Checkpoint, log: Log) -> dict[str, str] | None:
    """One prefix that all names lack, or have too much, with every shape equal."""
    known = {**{k: k for k in checkpoint.shapes}, **checkpoint.aliases}

    def works(rule: Callable[[str], str]) -> dict[str, str] | None:
        keys = {w.node: known.get(rule(named[w.node]), "") for w in wanted}
        return keys if all(keys.values()) and all(_fits(w, checkpoint.shapes[keys[w.node]]) for w in wanted) else None

    first = wanted[0]
    longer = sorted({k[: -len(named[first.node])] for k in known if k.endswith("/" + named[first.node])}, key=len)
    for prefix in longer:
        if keys := works(lambda k, p=prefix: p + k):  # type: ignore[misc]
            log.repair(
                "CHECKPOINT_PREFIX",
                keys,
                f"the checkpoint's variables are all named under '{prefix}' "
                f"('{prefix}{named[first.node]}' for '{named[first.node]}'): mapped, every shape is equal",
            )
            return keys
    parts = named[first.node].split("/")
    for n in range(1, len(parts)):
        prefix = "/".join(parts[:n]) + "/"
        if not all(named[w.node].startswith(prefix) for w in wanted):
            break
        if keys := works(lambda k, p=prefix: k.removeprefix(p)):  # type: ignore[misc]
            log.repair(
                "CHECKPOINT_PREFIX",
                keys,
                f"the graph's variables are all named under '{prefix}', which the checkpoint's "
                "are not: mapped, every shape is equal",
            )
            return keys
    for top in scopes(named.values(), checkpoint):
        if keys := works(lambda k, t=top: f"{t}/{k.split('/', 1)[-1]}"):  # type: ignore[misc]
            log.repair(
                "CHECKPOINT_PREFIX",
                keys,
                f"the checkpoint's variables are named under '{top}/', the graph's under '{parts[0]}/': mapped, every "
                "shape is equal",
            )
            return keys
    return None


def _bookkeeping(key: str) -> bool:
    return (
        key.startswith(BOOKKEEPING)
        or key.endswith(SLOTS)
        or bool(BEHIND.search(key))
        or key.endswith(BOOKKEEPING)
        or "OPTIMIZER_SLOT" in key
        or key.startswith("optimizer/")
    )


def _say_unused(checkpoint: Checkpoint, used: set[str], log: Log) -> None:
    extra = [k for k in checkpoint.names() if k not in used and not _bookkeeping(k)]
    if extra:
        log.note(
            "CHECKPOINT_EXTRA",
            f"{len(extra)} variables of the checkpoint are not part of the frozen network: {listed(extra, 6)}",
        )


def check_head(wanted: list[Wanted], checkpoint: Checkpoint) -> None:
    """Refuses a builder without the batch norm `ball` for a checkpoint trained with it: nothing would be missing.

    Raises
    ------
    FreezeError
        CHECKPOINT_HEAD_LEFT_OUT.
    """
    head = [k for k in checkpoint.names() if re.search(r"(^|/)ball/(beta|moving_mean|moving_variance)$", k)]
    keys = [w.key for w in wanted]
    if len(head) == 3 and any("fc1/" in k for k in keys) and not any("ball/" in k for k in keys):
        raise FreezeError(
            "CHECKPOINT_HEAD_LEFT_OUT",
            f"the checkpoint {checkpoint.prefix.name} was trained with a batch norm 'ball' behind fc1, and the network"
            " has none: every variable of the network is found, and its features would still be other ones than those"
            " that were trained (the published DeepSORT network has this head, cosine_metric_learning's has not)",
            "build the network with its head, or freeze it with --network wrn",
            head,
        )


def _missing(wanted: list[Wanted], named: dict[str, str], checkpoint: Checkpoint) -> FreezeError:
    known = set(checkpoint.shapes) | set(checkpoint.aliases)
    missing = sorted(named[w.node] for w in wanted if named[w.node] not in known)
    for name in missing:
        if (part := PART.search(name)) and (base := name[: part.start()]) in known | {w.key for w in wanted if w.part}:
            return gaps(checkpoint.prefix, base, f"its part {name} was not saved")
    local = sorted(named[w.node] for w in wanted if w.local and named[w.node] in missing)
    extra = [
        k for k in sorted(checkpoint.aliases or checkpoint.names()) if k not in named.values() and not _bookkeeping(k)
    ]
    cause = (
        f"{len(missing)} of the network's {len(wanted)} variables are missing from the checkpoint"
        f" {checkpoint.prefix.name} (not found there); the other {len(wanted) - len(missing)} are there"
    )
    if extra:
        cause += f". In the checkpoint and not in the network: {listed(extra, 20)}"
    why, remedy = _likely(missing, extra, local)
    shown = [f"{m} (missing)" for m in missing]
    return FreezeError("CHECKPOINT_MISSING_VARIABLES", f"{cause}. {why}", remedy, [listed(shown, 40)])


def _likely(missing: list[str], extra: list[str], local: list[str]) -> tuple[str, str]:
    """Cause and remedy of keys that do not fit."""
    ball = [m for m in missing if "ball/" in m and "/mean_vectors" not in m]
    if ball and len(ball) == len(missing):
        return (
            (
                "Only the batch norm 'ball' is missing: the checkpoint was trained by cosine_metric_learning, whose"
                " features are the normalised fc1, while this network is deep_sort's freeze_model.py, which has one"
                " batch norm more"
            ),
            "freeze it with --network cosine_metric_learning (or take the 'ball' head out of the builder)",
        )
    if local:
        return (
            f"{listed(local)}: local variables (collection LOCAL_VARIABLES), which tf.train.Saver does not save",
            "make them global variables and train or save again, or replace them by constants in the builder",
        )
    heads = {m.split("/")[0] for m in missing} & {e.split("/")[0] for e in extra}
    if missing and extra and not heads:
        return (
            (
                "No top-level scope is shared: the checkpoint is another model's, or its variables are named under"
                f" another prefix: the network asks for '{missing[0]}', the checkpoint holds '{extra[0]}'"
            ),
            "give the checkpoint of this network, or build it inside the variable_scope that the checkpoint shows",
        )
    if len(missing) > 2 * max(1, len(extra)):
        return (
            "Most of the network is absent: the checkpoint is another model's",
            "give the checkpoint that belongs to this network",
        )
    return (
        "The checkpoint was written by a different version of the network",
        "compare both lists and build the network that was trained",
    )


def _shapes(bad: list[tuple[Wanted, tuple[int, ...]]], count: int, checkpoint: Checkpoint) -> FreezeError:
    shown = [f"{w.key}: shape {list(w.shape or ())} in the network, {list(s)} in the checkpoint" for w, s in bad]
    dense = [w for w, s in bad if w.shape is not None and len(w.shape) == 2 == len(s) and w.shape[1] == s[1]]
    broadcast = [w for w, s in bad if w.shape is not None and _broadcasts(s, w.shape)]
    if len(dense) == len(bad) == 1:
        w, s = bad[0]
        why = (
            f"Only the first dense layer differs ({w.shape[0] if w.shape else '?'} rows here, {s[0]} trained): the"
            " network was trained with another image size (input size of the crops)"
        )
        remedy = "give the image size it was trained with: --image-shape HxWx3 (the published networks use 128x64x3)"
    elif broadcast and len(broadcast) == len(bad):
        why = "The shapes would broadcast, so the graph would run and be wrong: nothing is broadcast here"
        remedy = "build the network that was trained, or give its own checkpoint"
    else:
        why = "The checkpoint belongs to a network of another width or kind"
        remedy = "build the network with the sizes that were trained, or give its own checkpoint"
    return FreezeError(
        "CHECKPOINT_SHAPES",
        f"{len(bad)} of {count} variables have another shape in the checkpoint "
        f"{checkpoint.prefix.name} (shape mismatch). {why}",
        remedy,
        shown,
    )


def _broadcasts(a: Iterable[int], b: Iterable[int]) -> bool:
    try:
        np.broadcast_shapes(tuple(a), tuple(b))
    except ValueError:
        return False
    return True
