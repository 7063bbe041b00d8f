"""The layer that only its author knows: a Keras model whose class does not say how it is made again.

The file holds the layer's weights and its name, not its code, and without a `get_config` of its own a class cannot tell
Keras which arguments it was made with. Run it: `python -m docs.stories.own_layer`.
"""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np

from docs.stories import telling
from docs.stories.telling import SHAPE, Told

LAYERS = '''
import keras


class Gated(keras.layers.Layer):
    """Half of the values, let through by the other half."""

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.size = size
        self.both = keras.layers.Dense(2 * size, name="both")

    def build(self, shape):
        self.both.build(shape)
        super().build(shape)

    def call(self, x):
        x = self.both(x)
        return x[:, : self.size] * keras.ops.sigmoid(x[:, self.size :])

    def get_config(self):
        return super().get_config()
'''
TENSORFLOW = "Could not locate class 'Gated'"
CODES = ("KERAS_CONFIG_INCOMPLETE", "KERAS_ARGUMENT_SET", "OUTPUT_NOT_NORMALISED")


def story(folder: Path) -> Told:
    """Keras cannot load the file; freezing says what is missing, and takes it from the command line."""
    import keras

    (folder / "layers.py").write_text(LAYERS)
    model = _model(folder)
    model.save(folder / "encoder.keras")
    came = Told(out=folder / "encoder.pb")
    try:
        keras.models.load_model(folder / "encoder.keras")
    except Exception as error:
        came.tensorflow = f"{type(error).__name__}: {error}"
    given = ("--keras", folder / "encoder.keras", "--custom-objects", folder / "layers.py", "--out", came.out)
    refused, _ = telling.freeze(*given)
    frozen, came.code = telling.freeze(*given, "--bind", "gate.size=12")
    came.freeze = refused + frozen
    return came


def _model(folder: Path) -> object:
    import keras

    keras.utils.set_random_seed(13)
    gated = runpy.run_path(str(folder / "layers.py"))["Gated"]
    images = keras.Input(SHAPE, name="images")
    x = keras.layers.Rescaling(1 / 255)(images)
    x = keras.layers.Conv2D(6, 5, 4, activation="relu", name="stem")(x)
    return keras.Model(images, gated(12, name="gate")(keras.layers.Flatten()(x)))


def expected(images: np.ndarray, folder: Path) -> np.ndarray:
    """The features that are right, from the model as it was made."""
    x = np.asarray(_model(folder)(images.astype(np.float32)))  # type: ignore[operator]
    return x / np.linalg.norm(x, axis=1, keepdims=True)


if __name__ == "__main__":
    telling.told(story)
