"""OpenVINO, imported late and without its telemetry: a run tells nobody that it runs."""

from __future__ import annotations

import importlib
import sys
from typing import Any, cast


def import_openvino() -> Any:
    """The module `openvino`; ImportError where it is not installed.

    Its conversion tools report their import to their maker unless the package that sends reports is missing. It is
    made to look so: nothing in this program may open a connection that nobody asked for.
    """
    cast("dict[str, Any]", sys.modules).setdefault("openvino_telemetry", None)
    return importlib.import_module("openvino")
