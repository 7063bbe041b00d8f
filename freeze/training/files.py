"""Files of a training: its state, from which it resumes, and the published checkpoint. Whole or not there at all."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from freeze.training.errors import TrainStateError
from tracker.core.files import replacing

SHARD = ".data-00000-of-00001"


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """As `replacing`, in a folder that is made if needed; what fails is told as an error of a training."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as beside:
            yield beside
    except OSError as e:
        raise TrainStateError(
            f"cannot write {path} ({e.strerror or e}); what stood there is untouched: free some "
            f"space and start again to resume"
        ) from e


def save_state(path: Path, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
    """Arrays and facts in one .npz."""
    with _whole(path) as beside, open(beside, "wb") as file:
        np.savez(file, __facts__=np.array(json.dumps(facts)), **arrays)  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())


def load_state(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What `save_state` wrote. Raises TrainStateError for a file that is not whole."""
    try:
        with open(path, "rb") as whole, np.load(whole, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return arrays, json.loads(str(arrays.pop("__facts__")))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as e:
        raise TrainStateError(f"{path} is not a training state ({e}); remove it to start afresh") from e


def write_checkpoint(prefix: Path, weights: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
    """A TensorFlow checkpoint (`PREFIX.index` and its shard) with `PREFIX.json` beside it."""
    import tensorflow as tf

    names = sorted(weights)
    prefix.parent.mkdir(parents=True, exist_ok=True)
    temporary = prefix.with_name(f".{prefix.name}.{os.getpid()}")
    try:
        tf.raw_ops.SaveV2(
            prefix=str(temporary),
            tensor_names=names,
            shape_and_slices=[""] * len(names),
            tensors=[tf.constant(weights[n]) for n in names],
        )
        for ending in (SHARD, ".index"):
            os.replace(f"{temporary}{ending}", f"{prefix}{ending}")
    except (OSError, tf.errors.OpError) as e:
        raise TrainStateError(f"cannot write the checkpoint {prefix} ({e}); free some space and start again") from e
    finally:
        for ending in (SHARD, ".index"):
            Path(f"{temporary}{ending}").unlink(missing_ok=True)
    with _whole(prefix.with_name(prefix.name + ".json")) as beside:
        beside.write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")


def read_weights(prefix: Path, expected: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """The weights of a checkpoint. Raises TrainStateError where it is missing or of another network."""
    import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(str(prefix))
    except (ValueError, tf.errors.OpError) as e:
        raise TrainStateError(f"no checkpoint at {prefix} ({e}); give the path without .index") from e
    there = {name: tuple(shape) for name, shape in reader.get_variable_to_shape_map().items()}
    wrong = sorted(n for n, shape in expected.items() if there.get(n) != shape)
    if wrong:
        name = wrong[0]
        raise TrainStateError(
            f"{prefix} is a checkpoint of another network: {name} should be {expected[name]}, it is "
            f"{there.get(name, 'missing')} ({len(wrong)} of {len(expected)} variables do not fit)"
        )
    return {name: reader.get_tensor(name) for name in expected}
