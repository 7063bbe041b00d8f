"""`colour`: soft colour histograms over horizontal stripes, a network with fixed weights; nothing is trained.

Every pixel is shared out among 22 reference colours by a softmax over its distances to them (soft assignment, van
Gemert et al., "Visual Word Ambiguity", 2010), the shares are averaged over each of 8 stripes, their square roots taken
(the cosine of square roots is the Bhattacharyya coefficient, as mean-shift trackers use it: Comaniciu et al., 2003) and
the whole brought to unit length.
"""

from __future__ import annotations

from typing import Any

import numpy as np

NAME = "colour"
INPUT_SHAPE = (128, 64, 3)
STRIPES = 8
GREYS, HUES = 6, 8
LIGHTNESS_WEIGHT = 0.7
"""Lightness changes with shade and exposure: it counts for less than chroma."""
SATURATION = 0.15
"""Distance of the coloured references from the grey axis."""
WIDTH = 0.06
"""Standard deviation of the soft assignment."""
CENTRE = 0.4
"""Standard deviation of the columns' weights, in half widths of a crop: its sides show the background."""
TO_OPPONENT = np.array([[1 / 3, -0.5, 0.866], [1 / 3, -0.5, -0.866], [1 / 3, 1.0, 0.0]], np.float32)
"""From (B, G, R) to lightness and the two chroma axes."""


def references() -> np.ndarray:
    """(22,3) float32 reference colours: greys, then two rings of hues, half a step turned against one another."""
    colours = [(lightness, 0.0, 0.0) for lightness in np.linspace(0.08, 0.92, GREYS)]
    for turn, lightness in ((0.0, 0.25), (0.5, 0.7)):
        angles = 2 * np.pi * (np.arange(HUES) + turn) / HUES
        colours += [(lightness, SATURATION * np.cos(a), SATURATION * np.sin(a)) for a in angles]
    return (np.array(colours) * (LIGHTNESS_WEIGHT, 1, 1)).astype(np.float32)


def build(images: Any) -> Any:
    """Features [N, 176] of uint8 BGR crops [N, 128, 64, 3]."""
    import tensorflow as tf

    pixels = tf.nn.avg_pool2d(tf.cast(images, tf.float32) / 255.0, 2, 2, "VALID")
    opponent = tf.nn.conv2d(pixels, TO_OPPONENT[None, None], 1, "VALID")
    lightness, chroma = opponent[..., :1], opponent[..., 1:]
    # Chroma fades in shade; dividing by a root of lightness undoes half of that without blowing up the noise of black.
    colours = tf.concat([lightness * LIGHTNESS_WEIGHT, chroma * tf.math.rsqrt(lightness + 0.1)], -1)
    targets = references()
    # softmax(-|c-t|²/2σ²) with the |c|² common to all targets left out: one convolution and a bias.
    weights, bias = targets.T / WIDTH**2, -(targets**2).sum(1) / (2 * WIDTH**2)
    shares = tf.nn.softmax(tf.nn.bias_add(tf.nn.conv2d(colours, weights[None, None], 1, "VALID"), bias))
    rows, columns, bins = shares.shape[1:]
    position = (np.arange(columns) - (columns - 1) / 2) / (columns / 2)
    column = np.exp(-((position / CENTRE) ** 2) / 2)
    mean = np.tile(column / column.sum(), rows // STRIPES).astype(np.float32) / (rows // STRIPES)
    stripes = tf.reshape(shares, (-1, STRIPES, rows // STRIPES * columns, bins))
    histogram = tf.reduce_sum(stripes * mean[:, None], 2)
    return tf.math.l2_normalize(tf.sqrt(tf.reshape(histogram, (-1, STRIPES * bins)) + 1e-6), 1)
