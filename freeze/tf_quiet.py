"""Imports TensorFlow without its noise: what it prints while loading is kept and shown only if it fails."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from typing import Any

from tracker.errors import BackendMissingError


@contextlib.contextmanager
def silenced() -> Iterator[Any]:
    """File descriptor 2 goes to a temporary file, which is yielded; native code writes there past Python's sys.stderr.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as kept:
        saved = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield kept
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)


def tensorflow() -> Any:
    """The `tensorflow` module, loaded on the first call.

    Raises
    ------
    BackendMissingError
        TensorFlow is not installed, or does not load; its own last words are in the message.
    """
    if "tensorflow" in sys.modules:
        return sys.modules["tensorflow"]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.filterwarnings("ignore", category=UserWarning, module="keras")
    with silenced() as noise:
        try:
            import tensorflow as tf
        except Exception as e:
            noise.seek(0)
            words = noise.read().decode(errors="replace").strip().splitlines()[-3:]
            raise BackendMissingError(
                f"TensorFlow does not load ({e}); {' '.join(words)} Install it with: "
                f"{sys.executable} -m pip install 'tensorflow>=2.16'"
            ) from None
    tf.get_logger().setLevel(logging.ERROR)
    logging.getLogger("absl").setLevel(logging.ERROR)
    tf.autograph.set_verbosity(0)
    return tf
