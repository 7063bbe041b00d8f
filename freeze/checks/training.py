"""Networks that were never trained, or only in part: the values say so."""

from __future__ import annotations

import re

import numpy as np

from freeze.errors import FreezeError
from freeze.graph.graphdef import VARIABLE_OPS, Graph
from freeze.job import Job

PART = re.compile(r"/part_\d+$")
MEAN = re.compile(r"(^|/)(moving_mean|running_mean|pop_mean)(_\d+)?$")
VARIANCE = re.compile(r"(^|/)(moving_variance|moving_var|running_var|running_variance|pop_var)(_\d+)?$")
NUMBER = re.compile(r"_\d+(?=/|$)")
SLOT = re.compile(r"/(Adam|Adam_1|Momentum|RMSProp|RMSProp_1|Adagrad|Ftrl)$")


def statistics(job: Job) -> tuple[list[str], list[str]]:
    """Moving means and variances among the variables in use: by place (batch norm's inputs) or by name."""
    graph = Graph(job.graph)
    means = {n for n in job.values or {} if MEAN.search(PART.sub("", n))}
    variances = {n for n in job.values or {} if VARIANCE.search(PART.sub("", n))}
    for node in job.graph.node:
        if node.op.startswith("FusedBatchNorm") and len(node.input) >= 5:
            for k, found in ((3, means), (4, variances)):
                if variable := graph.variable_of(node.input[k]):
                    found.add(variable)
    return sorted(means), sorted(variances)


def check_trained(job: Job) -> None:
    """Raises SECOND_TOWER, STATISTICS_IMPOSSIBLE or STATISTICS_NEVER_UPDATED."""
    means, variances = statistics(job)
    values = _whole(job.values or {})
    means, variances = (sorted({PART.sub("", n) for n in names}) for names in (means, variances))
    negative = [n for n in variances if np.any(values[n] < 0)]
    if negative:
        raise FreezeError(
            "STATISTICS_IMPOSSIBLE",
            "a moving_variance of batch norm holds negative values, down to"
            f" {min(values[n].min() for n in negative):.3g}: no batch has such a variance, and its root is no number",
            "use an undamaged checkpoint; check that each value belongs to the variable it is stored under",
            negative,
        )
    flat = [n for n in means if not np.any(values[n])] + [n for n in variances if np.all(values[n] == 1)]
    _second_tower(job, flat)
    if (means and variances and len(flat) == len(means) + len(variances)) or _pairs(flat):
        raise FreezeError(
            "STATISTICS_NEVER_UPDATED",
            "the moving statistics of batch norm were never updated (moving mean still 0, moving variance still 1 in"
            f" {len(flat)} variables): training did not run the update operations (UPDATE_OPS), so inference mode is"
            " wrong",
            "train with tf.control_dependencies(tf.compat.v1.get_collection('update_ops')), or take a checkpoint in"
            " which they were updated",
            flat,
        )


def _whole(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The parts of a partitioned variable as one array of values, under its own name."""
    parts: dict[str, list[np.ndarray]] = {}
    for name in sorted(values):
        parts.setdefault(PART.sub("", name), []).append(values[name])
    return {
        n: found[0] if len(found) == 1 else np.concatenate([f.ravel() for f in found]) for n, found in parts.items()
    }


def _pairs(flat: list[str]) -> bool:
    """A mean and a variance of the same scope are both as initialised."""
    scopes = [{n.rsplit("/", 1)[0] for n in flat if "/" in n and pattern.search(n)} for pattern in (MEAN, VARIANCE)]
    return bool(scopes[0] & scopes[1])


def _second_tower(job: Job, flat: list[str]) -> None:
    """The network built twice without sharing: the output hangs on a set of variables that training never touched."""
    full = Graph(job.full)
    twins = _twins(full, job)
    if not twins or len(twins) * 2 < len(job.values or {}):
        return
    slots = {SLOT.sub("", n) for n in full.nodes if SLOT.search(n)}
    slots |= {
        full.variable_of(node.input[0]) or "" for node in full.nodes.values() if "Apply" in node.op and node.input
    }
    untouched = not slots & set(twins) and slots & set(twins.values())
    first = min(twins)
    if untouched or set(flat) & set(twins):
        cause = (
            "the output belongs to a second tower that was never trained: the network was built twice without sharing"
            f" its variables, and the output uses the one copy ('{first}'), while training changed the other"
            f" ('{twins[first]}')"
        )
        remedy = (
            "name the output of the trained tower with --output, or build the second one with reuse, so that both share"
            " (tf.compat.v1.variable_scope(..., reuse=True)), and export again"
        )
        raise FreezeError("SECOND_TOWER", cause, remedy, [f"{n} (twin of {t})" for n, t in sorted(twins.items())])
    job.log.warn(
        "SECOND_TOWER",
        f"the network seems to be built twice without sharing its variables ('{first}' and '{twins[first]}'): make sure"
        " that the output's copy is the trained one",
        sorted(twins),
    )


def _twins(full: Graph, job: Job) -> dict[str, str]:
    """Variable in use -> variable not in use of the same shape, named alike but for `_1` or for the outer scope."""
    nodes = {n.name for n in job.graph.node}
    used = {n: v.shape for n, v in (job.values or {}).items() if n in nodes}
    others: dict[tuple[str, tuple[int, ...]], str] = {}
    for name, node in full.nodes.items():
        if node.op in VARIABLE_OPS and name not in used and not SLOT.search(name):
            shape = tuple(d.size for d in node.attr["shape"].shape.dim)
            for key in _bare(name):
                others.setdefault((key, shape), name)
    return {n: others[k, s] for n, s in used.items() for k in _bare(n) if (k, s) in others}


def _bare(name: str) -> set[str]:
    """A variable's name without the numbers that repeated scopes get, and without its outer scope."""
    plain = NUMBER.sub("", name)
    inner = name.split("/", 1)[1] if name.count("/") > 1 else name
    return {"a:" + plain, "b:" + inner} if inner != name else {"a:" + plain}
