"""Networks that were never trained, or only in part: the values say so."""

from __future__ import annotations

import re

import numpy as np

from freeze.errors import FreezeError
from freeze.graph import VARIABLE_OPS, Graph
from freeze.job import Job

MEAN = re.compile(r"(^|/)(moving_mean|running_mean|pop_mean)(_\d+)?$")
VARIANCE = re.compile(r"(^|/)(moving_variance|moving_var|running_var|running_variance|pop_var)(_\d+)?$")
SECOND = re.compile(r"_(\d+)(?=/)")
SLOT = re.compile(r"/(Adam|Adam_1|Momentum|RMSProp|RMSProp_1|Adagrad|Ftrl)$")


def statistics(job: Job) -> tuple[list[str], list[str]]:
    """Moving means and variances among the variables in use: by place (batch norm's inputs) or by name."""
    graph = Graph(job.graph)
    means = {n for n in job.values or {} if MEAN.search(n)}
    variances = {n for n in job.values or {} if VARIANCE.search(n)}
    for node in job.graph.node:
        if node.op.startswith("FusedBatchNorm") and len(node.input) >= 5:
            for k, found in ((3, means), (4, variances)):
                if variable := graph.variable_of(node.input[k]):
                    found.add(variable)
    return sorted(means), sorted(variances)


def trained(job: Job) -> None:
    """Raises SECOND_TOWER or STATISTICS_NEVER_UPDATED."""
    values = job.values or {}
    means, variances = statistics(job)
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


def _pairs(flat: list[str]) -> bool:
    """A mean and a variance of the same scope are both as initialised."""
    scopes = [{n.rsplit("/", 1)[0] for n in flat if "/" in n and pattern.search(n)} for pattern in (MEAN, VARIANCE)]
    return bool(scopes[0] & scopes[1])


def _second_tower(job: Job, flat: list[str]) -> None:
    """The network built twice without sharing: the output hangs on the second set of variables, which training never
    touched.
    """
    full = Graph(job.full)
    variables = {n for n, node in full.nodes.items() if node.op in VARIABLE_OPS}
    used = set(job.values or {})
    twins = {n: t for n in used if (t := SECOND.sub("", n, count=1)) != n and t in variables and t not in used}
    if not twins or len(twins) * 2 < len(used):
        return
    slots = {SLOT.sub("", n) for n in variables if SLOT.search(n)}
    slots |= {
        full.variable_of(node.input[0]) or "" for node in full.nodes.values() if "Apply" in node.op and node.input
    }
    untouched = slots and not slots & set(twins) and slots & set(twins.values())
    if untouched or set(flat) & set(twins):
        first = sorted(twins)[0]
        raise FreezeError(
            "SECOND_TOWER",
            "the output belongs to a second tower that was never trained: the network was built twice without sharing"
            f" its variables, and the output uses the second copy ('{first}'), while training changed the first"
            f" ('{twins[first]}')",
            "name the output of the first tower, or build the second with reuse (tf.compat.v1.variable_scope(...,"
            " reuse=True))",
            [f"{n} (twin of {t})" for n, t in sorted(twins.items())],
        )
    job.log.warn(
        "SECOND_TOWER",
        "the network seems to be built twice, and the output uses the second set of variables: make sure that it is "
        "the trained one",
        sorted(twins),
    )
