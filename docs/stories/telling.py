"""What the three stories share: a checkpoint, what TensorFlow says, what `python -m freeze` says and writes."""

from __future__ import annotations

import contextlib
import io
import runpy
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from freeze import cli

SHAPE = (48, 24, 3)


@dataclass
class Told:
    """What came of a story.

    Attributes
    ----------
    tensorflow : str
        The error of TensorFlow or Keras itself.
    freeze : str
        What `python -m freeze` printed.
    code : int
        Its exit code.
    out : Path
        Where the frozen graph lies.
    """

    tensorflow: str = ""
    freeze: str = ""
    code: int = -1
    out: Path = field(default_factory=Path)


def run(program: Path) -> str:
    """What TensorFlow raises when the user's program is run as it is."""
    try:
        runpy.run_path(str(program))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def freeze(*arguments: object) -> tuple[str, int]:
    """What `python -m freeze` prints, and its exit code."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = cli.main([str(a) for a in arguments])
    return said.getvalue(), code


def save(prefix: Path, values: Mapping[str, np.ndarray]) -> None:
    """A checkpoint of these variables, as `tf.compat.v1.train.Saver` writes it."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        held = {
            k: v1.get_variable(f"v{n}", initializer=v.astype(np.float32)) for n, (k, v) in enumerate(values.items())
        }
        session.run(v1.global_variables_initializer())
        v1.train.Saver(held).save(session, str(prefix), write_meta_graph=False)


def features(frozen: Path, images: np.ndarray) -> np.ndarray:
    """Features of crops (N, 48, 24, 3) uint8 by a frozen graph, in a session of its own."""
    import tensorflow as tf

    definition = tf.compat.v1.GraphDef.FromString(frozen.read_bytes())
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.import_graph_def(definition, name="")
        return np.asarray(session.run("features:0", {"images:0": images}))


def told(story: Callable[[Path], Told]) -> None:
    """Runs a story in the folder that the command line names, or in a temporary one, and prints it."""
    with tempfile.TemporaryDirectory() as folder:
        came = story(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder))
        print(f"--- TensorFlow\n{came.tensorflow}\n\n--- python -m freeze (exit code {came.code})\n{came.freeze}")
