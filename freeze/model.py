"""What every loader returns: a graph with variables in it, their values, and a way to run the model as it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from freeze.graph.graphdef import GraphDef


class Values(NamedTuple):
    """What a checkpoint holds for the variables in use.

    Attributes
    ----------
    values : dict[str, ndarray]
        By node name.
    averages : dict[str, ndarray]
        Moving averages that lie beside these, where they differ and nobody has chosen; empty otherwise.
    """

    values: dict[str, np.ndarray]
    averages: dict[str, np.ndarray]


@dataclass
class Model:
    """A loaded encoder, before anything is mended.

    Attributes
    ----------
    graph_def : GraphDef
        The graph as it was found: variables, functions, devices and training parts included.
    values : dict[str, ndarray]
        Value of each variable by node name; may be filled in later by `need` for the variables that the output uses.
    need : Callable[[list[str]], Values] or None
        Given the names of the variable nodes in use, returns their values (a checkpoint is read only for these).
    input, output : str or None
        Tensor names where the source knows them, else None: `freeze.checks.names` decides.
    held : dict[str, str]
        Name in a user's program -> name of the tensor that it holds, where the source is a program.
    live : Callable[[ndarray], ndarray] or None
        Runs the untouched model on model inputs (N, H, W, C) of the input's own dtype; None: the graph is run with its
        variables.
    initializers : list[str]
        Nodes to run once before (lookup tables).
    provenance : dict[str, Any]
        Kind of source, file names, hashes.
    colour_order, crop_rule, max_cosine_distance : str, str, float or None
        As in the contract, where the source knows them.
    repaired : bool
        True where the loader itself mended the arithmetic, so that `live` is no longer the untouched model.
    """

    graph_def: GraphDef
    values: dict[str, np.ndarray] = field(default_factory=dict)
    need: Callable[[list[str]], Values] | None = None
    input: str | None = None
    output: str | None = None
    held: dict[str, str] = field(default_factory=dict)
    live: Callable[[np.ndarray], np.ndarray] | None = None
    initializers: list[str] = field(default_factory=list)
    provenance: dict[str, Any] = field(default_factory=dict)
    colour_order: str = "bgr"
    crop_rule: str = "stretch"
    max_cosine_distance: float | None = None
    repaired: bool = False
    producer_ops: Any = None
