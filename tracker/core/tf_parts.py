"""The part of TensorFlow that runs graphs: a third of its import, and all that a run needs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace
from typing import Any

PACKAGE = "tensorflow"


def import_parts() -> Any:
    """Classes and functions that import and run graphs, under the names by which `tensorflow` knows them, or None.

    The package's own code imports two thousand modules more. It is left out, and the package stays unknown to Python:
    who imports it later gets it whole, made of the same parts.

    Returns
    -------
    SimpleNamespace or None
        None: the package is there already, or this release keeps its parts elsewhere, or its devices are plug-ins,
        which only the whole package loads.
    """
    if PACKAGE in sys.modules or find_spec("tensorflow-plugins") is not None:
        return None
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        __import__(PACKAGE)
    except _EnoughError:
        return finder.found
    except Exception:  # what an import raises depends on the release; the whole package tells what is wrong
        return None
    finally:
        sys.meta_path.remove(finder)
    return None


class _EnoughError(ImportError):
    """The parts are there; the package, which has run no code of its own, is to be forgotten."""


class _Finder(MetaPathFinder, Loader):
    """For the thread that made it, imports the parts in place of the package; other threads wait for that meanwhile.

    Python itself makes them wait, as for any module that is being imported, and forgets the package, as where any
    import fails.
    """

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self.found: Any = None

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != PACKAGE or threading.get_ident() != self._thread:
            return None
        whole = PathFinder.find_spec(name, path, target)
        if whole is None:
            return None
        spec = ModuleSpec(name, self, origin=whole.origin, is_package=True)
        spec.submodule_search_locations = whole.submodule_search_locations
        return spec

    def exec_module(self, module: ModuleType) -> None:
        self.found = _parts()
        raise _EnoughError


def _parts() -> SimpleNamespace:
    from tensorflow.python import tf2

    tf2.enable()  # before all else, as the package does it
    from tensorflow.core.framework import graph_pb2
    from tensorflow.core.protobuf import config_pb2
    from tensorflow.python.client import session
    from tensorflow.python.framework import config, dtypes, errors, importer, ops, tensor_util, versions
    from tensorflow.python.platform import build_info

    v1 = SimpleNamespace(GraphDef=graph_pb2.GraphDef, ConfigProto=config_pb2.ConfigProto, Session=session.Session)
    return SimpleNamespace(
        __version__=versions.__version__,
        Graph=ops.Graph,
        bfloat16=dtypes.bfloat16,
        compat=SimpleNamespace(v1=v1),
        config=config,
        errors=errors,
        float16=dtypes.float16,
        float32=dtypes.float32,
        import_graph_def=importer.import_graph_def,
        make_ndarray=tensor_util.MakeNdarray,
        make_tensor_proto=tensor_util.make_tensor_proto,
        sysconfig=SimpleNamespace(get_build_info=lambda: build_info.build_info),
    )
