"""What an encoder is worth on the identities held out, and the matching threshold that fits it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from freeze.training.crops import Crops
from freeze.training.evaluate import retrieval, separation

Embed = Callable[[np.ndarray], np.ndarray]


def validate(crops: Crops, embed: Embed) -> dict[str, float]:
    """Measures on the identities held out.

    Returns
    -------
    dict[str, float]
        `rank1/S` and `map/S` for every source S that has queries, the mAP over all queries as `score`, and, over what a
        tracker would meet in one camera, `area` (see `Separation.area`) and `threshold`. Empty where nothing is held
        out.
    """
    keep = (crops.identity >= 0) & crops.held_out[crops.identity]
    if not keep.any():
        return {}
    features, identity = embed(crops.images[keep]), crops.identity[keep]
    camera, scene = crops.camera[keep], crops.scene[keep]
    measures: dict[str, float] = {}
    precision, queries = 0.0, 0
    for number in np.unique(scene):
        rows = scene == number
        found = retrieval(features[rows], identity[rows], camera[rows], crops.differ)
        if found.queries:
            measures |= {f"rank1/{number}": found.rank1, f"map/{number}": found.mean_average_precision}
            precision, queries = precision + found.queries * found.mean_average_precision, queries + found.queries
    # Within one camera an identity's crops are what a tracker sees of it: there the threshold is set.
    view = np.where(crops.exclusive[identity], camera, 0)
    tracks, track = np.unique(np.stack([identity, view], 1), axis=0, return_inverse=True)
    differ = crops.differ[np.ix_(tracks[:, 0], tracks[:, 0])]
    apart = separation(features, track.ravel(), scene * (int(view.max()) + 1) + view, differ)
    area, threshold = apart.area(), apart.threshold()
    if math.isfinite(area):
        measures |= {"area": area, "threshold": threshold}
    return measures | {"score": precision / queries if queries else measures.get("area", 0.0)}
