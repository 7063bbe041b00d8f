"""One freeze in progress: what the passes and diagnoses share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from freeze.errors import Finding, FreezeError, Log
from freeze.graph.graphdef import GraphDef, pruned
from freeze.model import Model
from freeze.request import Request

INPUT = "images"
OUTPUT = "features"


@dataclass(frozen=True)
class Passed:
    """What a pass returns: it writes nothing else.

    Attributes
    ----------
    graph : GraphDef
        The new graph; the one that was given stays as it is.
    head : str
        The feature tensor in it.
    findings : tuple[Finding, ...]
        What was mended or chosen.
    feeds : Mapping[str, Any]
        Placeholder -> value with which the untouched graph does the same.
    """

    graph: GraphDef
    head: str
    findings: tuple[Finding, ...] = ()
    feeds: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Job:
    """State beside the graph.

    Attributes
    ----------
    full : GraphDef
        The whole flat graph, training parts included: update operations are looked up here.
    graph : GraphDef
        The part that computes the output from the placeholder `images`.
    input, output : str
        Tensor names in `full`; `head` is the tensor in `graph` that is the feature so far.
    input_dtype, input_shape : tuple[int, int, int] or Any
        What the model itself takes: tf.DType, (height, width, channels).
    scale : float or None
        Factor between fed pixels (0..255) and what the model takes.
    values : dict[str, ndarray] or None
        Variable node name -> array, for the variables in `graph`.
    averages : dict[str, ndarray]
        Moving averages that the checkpoint holds beside `values`, and that were not chosen.
    feeds : dict[str, Any] or None
        Placeholder -> value with which the untouched graph runs in inference mode.
    repaired_graph, head_before : GraphDef or str
        The mended graph before its variables became constants, and its output tensor.
    repaired_only : bool
        The untouched graph cannot be run (training variables without values).
    """

    request: Request
    model: Model
    log: Log
    full: GraphDef
    graph: GraphDef
    input: str = ""
    output: str = ""
    head: str = ""
    input_dtype: Any = None
    input_shape: tuple[int, int, int] = (0, 0, 0)
    scale: float | None = None
    values: dict[str, np.ndarray] | None = None
    averages: dict[str, np.ndarray] = field(default_factory=dict)
    feeds: dict[str, Any] | None = None
    channels_first: bool = False
    repaired_graph: GraphDef = None
    head_before: str = ""
    repaired_only: bool = False

    def take(self, passed: Passed) -> None:
        """Goes on from what a pass returned.

        Raises
        ------
        FreezeError
            The repair's own code, where it changes arithmetic under --no-repair.
        """
        for f in passed.findings:
            if f.arithmetic and not self.request.repair:
                remedy = "leave out --no-repair, or export an inference graph"
                raise FreezeError(f.code, f"the graph has to be mended: {f.why}", remedy, f.nodes)
        self.log.findings += passed.findings
        self.graph, self.head = pruned(passed.graph, [passed.head]), passed.head
        self.feeds = {**(self.feeds or {}), **passed.feeds} or None
