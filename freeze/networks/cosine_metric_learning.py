"""The DeepSORT network as cosine_metric_learning trains it.

Pool SAME, pixels 0..1, features without the `ball` batch norm.

Wojke, Bewley, "Deep Cosine Metric Learning for Person Re-Identification" (1812.00442).
"""

from __future__ import annotations

from typing import Any

from freeze.networks.wrn import backbone, normalised
from tracker.core.tensorflow import import_tensorflow


def build(images: Any) -> Any:
    """Features [N, 128] of uint8 BGR crops [N, 128, 64, 3]."""
    tf = import_tensorflow()
    return normalised(backbone(tf.cast(images, tf.float32)[..., ::-1] / 255.0, "SAME"))
