"""The encoder networks this project knows by name.

A network is a module here with `build(images) -> features` and one entry in `NETWORKS`. `build` is given a placeholder
(uint8, [None, H, W, 3], BGR as OpenCV reads) inside a fresh `tf.Graph` in TensorFlow 1 style, makes its variables with
`tf.compat.v1.get_variable`, casts and scales the pixels itself and returns L2-normalised features [None, D].
Modules import TensorFlow inside `build` only: looking at this list loads nothing.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freeze.errors import FreezeError


@dataclass(frozen=True)
class Network:
    """A network by name.

    Attributes
    ----------
    name : str
        As given to --network.
    module : str
        Dotted name of the module that has `build(images)`.
    input_shape : tuple[int, int, int]
        (height, width, channels) of a crop, pixels.
    about : str
        One line for lists and messages.
    crop_rule, colour_order, max_cosine_distance : str, str, float or None
        As in freeze.contract.Contract.
    weights : str or None
        Folder or prefix of the shipped checkpoint, relative to the folder of the freeze package; None: the user brings
        one.
    has_variables : bool
        False for graphs without any trained value.
    """

    name: str
    module: str
    input_shape: tuple[int, int, int]
    about: str
    crop_rule: str = "stretch"
    colour_order: str = "bgr"
    max_cosine_distance: float | None = None
    weights: str | None = None
    has_variables: bool = True

    def build(self, images: Any) -> Any:
        """Features [None, D] of a batch of crops, in the current default graph."""
        return importlib.import_module(self.module).build(images)

    @property
    def checkpoint(self) -> Path | None:
        """Prefix of the checkpoint that ships with the package."""
        return None if self.weights is None else Path(__file__).parents[1] / self.weights


NETWORKS = {
    n.name: n
    for n in (
        Network(
            "wrn",
            "freeze.networks.wrn",
            (128, 64, 3),
            "the published DeepSORT network (mars-small128), 128-d",
            crop_rule="aspect",
            max_cosine_distance=0.2,
        ),
        Network(
            "cosine_metric_learning",
            "freeze.networks.cosine_metric_learning",
            (128, 64, 3),
            "the network as cosine_metric_learning trains it: no `ball` batch norm, 128-d",
            crop_rule="aspect",
            max_cosine_distance=0.2,
        ),
        Network(
            "colour",
            "freeze.networks.colour",
            (128, 64, 3),
            "soft colour histograms over stripes: nothing is trained",
            max_cosine_distance=0.17,
            has_variables=False,
        ),
        Network(
            "striped",
            "freeze.networks.striped",
            (128, 64, 3),
            "our small residual network with stripe pooling, 128-d",
            weights="weights/striped",
        ),
    )
}


def network(name: str) -> Network:
    """The network of that name.

    Raises
    ------
    FreezeError
        NETWORK_UNKNOWN.
    """
    if name not in NETWORKS:
        known = "; ".join(f"{n.name} ({n.about})" for n in NETWORKS.values())
        raise FreezeError(
            "NETWORK_UNKNOWN",
            f"there is no network '{name}'",
            f"known are: {known}; use --builder FILE.py for your own",
            [name],
        )
    return NETWORKS[name]
