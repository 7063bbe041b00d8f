"""A checkpoint that holds the network several times: which copy was trained.

A script that builds its network twice without sharing leaves `conv2d/...` and `conv2d_1/...`, or `train/...` and
`infer/...`, in its checkpoint. Training changed one of them; the others are as they were initialised.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from freeze.errors import Log, listed
from freeze.load.checkpoint import Checkpoint

NUMBERED = re.compile(r"^(.*?)(?:_(\d+))?$")
ONES = re.compile(r"(^|/)(gamma|scale|moving_variance|moving_var|running_var)(_\d+)?$")
ZEROS = re.compile(r"(^|/)(beta|bias|biases|offset|moving_mean|running_mean)(_\d+)?$")
SLOTS = ("/Adam", "/Adam_1", "/Momentum", "/RMSProp", "/RMSProp_1", "/Adagrad", "/Ftrl", "/Ftrl_1", "/Adadelta")

Keys = dict[str, str]


def trained_tower(keys: Keys, shapes: dict[str, tuple[int, ...] | None], checkpoint: Checkpoint, log: Log) -> Keys:
    """Keys of the trained copy of a network.

    Parameters
    ----------
    keys : dict[str, str]
        Variable node -> key in the checkpoint, of the copy that has the network's own names.
    shapes : dict[str, tuple or None]
        Variable node -> shape.
    checkpoint : Checkpoint
        Where the copies are.
    log : Log
        Told of other copies and of the choice.
    """
    copies = [k for k in _copies(keys, shapes, checkpoint) if k != keys]
    if not copies:
        return keys
    different = {n for c in copies for n in keys if c[n] != keys[n]}
    scored = [(_evidence([k[n] for n in different], checkpoint), -i, k) for i, k in enumerate([keys, *copies])]
    best = max(scored, key=lambda s: s[:2])
    chosen = best[2]
    names = {i: _example(k, different) for i, k in enumerate([keys, *copies])}
    others = listed([names[i] for i, k in enumerate([keys, *copies]) if k is not chosen], 4)
    idle = all(s[0] < best[0] for s in scored if s is not best)
    why = "is as it was initialised" if idle else "looks no less trained"
    text = (
        f"the checkpoint {checkpoint.prefix.name} holds the network {1 + len(copies)} times, built without sharing its "
        f"variables: '{_example(chosen, different)}' is used, the other copy ('{others}') {why}"
    )
    if chosen is not keys:
        log.repair("TOWER_CHOSEN", sorted(chosen[n] for n in different), text)
    elif idle:
        log.note("TOWER_CHOSEN", text, sorted(chosen[n] for n in different))
    else:
        log.warn("TOWER_CHOSEN", f"{text}: make sure that it is the trained one", sorted(chosen[n] for n in different))
    return chosen


def scopes(named: Iterable[str], checkpoint: Checkpoint) -> list[str]:
    """Top-level scopes of the checkpoint under which all these names are found, without the names' own scope."""
    named = list(named)
    inner = [k.split("/", 1)[-1] for k in named] if len({k.split("/")[0] for k in named}) == 1 else named
    tops = sorted({k.split("/")[0] for k in checkpoint.names() if "/" in k})
    return [t for t in tops if all(f"{t}/{k}" in checkpoint.shapes for k in inner)]


def _copies(keys: Keys, shapes: dict[str, tuple[int, ...] | None], checkpoint: Checkpoint) -> list[Keys]:
    """Other complete sets of keys with the same shapes: scopes with higher numbers, or under another outer scope."""

    def fits(node: str, key: str) -> bool:
        return key in checkpoint.shapes and shapes[node] in (None, checkpoint.shapes[key])

    found: list[Keys] = []
    counts = _counts(keys.values())
    for turn in range(1, 9):
        renamed = {n: k2 if fits(n, k2 := _shifted(k, counts, turn)) else k for n, k in keys.items()}
        moved = [n for n in keys if renamed[n] != keys[n]]
        if len(moved) * 2 < len(keys) - sum(_shifted(k, counts, turn) == k for k in keys.values()):
            break
        found.append(renamed)
    tops = {k.split("/")[0] for k in keys.values()}
    if len(tops) == 1 and all("/" in k for k in keys.values()):
        for top in scopes(keys.values(), checkpoint):
            swapped = {n: f"{top}/{k.split('/', 1)[1]}" for n, k in keys.items()}
            if swapped not in (keys, *found) and all(fits(n, k) for n, k in swapped.items()):
                found.append(swapped)
    return found


def _counts(keys: Iterable[str]) -> dict[str, int]:
    """How many scopes of a name (`conv2d`, `conv2d_1` are two) the network has at its top level."""
    numbers: dict[str, set[int]] = {}
    for key in keys:
        base, number = NUMBERED.match(key.split("/")[0]).groups()  # type: ignore[union-attr]
        numbers.setdefault(base, set()).add(int(number or 0))
    return {base: len(found) for base, found in numbers.items()}


def _shifted(key: str, counts: dict[str, int], turn: int) -> str:
    """The key of the same variable when the network is built for the `turn`-th further time."""
    top, slash, rest = key.partition("/")
    base, number = NUMBERED.match(top).groups()  # type: ignore[union-attr]
    return f"{base}_{int(number or 0) + turn * counts.get(base, 1)}{slash}{rest}"


def _evidence(keys: list[str], checkpoint: Checkpoint) -> int:
    """2: an optimiser kept slots for it; 1: what starts at 0 or 1 has moved; 0: everything is as initialised."""
    if any(k + slot in checkpoint.shapes for k in keys for slot in SLOTS):
        return 2
    telling = [k for k in keys if ONES.search(k) or ZEROS.search(k)]
    moved = [k for k in telling if np.any(checkpoint.read(k) != (1 if ONES.search(k) else 0))]
    return int(bool(moved) or not telling)


def _example(keys: Keys, different: set[str]) -> str:
    return keys[min(different)]
