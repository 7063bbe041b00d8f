"""OpenVINO, imported late and without its telemetry: a run tells nobody that it runs."""

from __future__ import annotations

import importlib
import sys
import threading
from typing import Any, cast

import numpy as np

_FIRST = threading.Lock()


def import_openvino() -> Any:
    """The module `openvino`; ImportError where it is not installed.

    Its conversion tools report their import to their maker unless the package that sends reports is missing. It is
    made to look so: nothing in this program may open a connection that nobody asked for.
    """
    cast("dict[str, Any]", sys.modules).setdefault("openvino_telemetry", None)
    ov = importlib.import_module("openvino")
    with _FIRST:
        # What its binding makes at the first use of arrays locks threads out of the interpreter that meet there.
        ov.Type(np.dtype(np.uint8)).to_dtype()
        ov.Tensor(np.zeros(1, np.uint8)).data.sum()
    return ov
