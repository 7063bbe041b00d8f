"""Static shapes and types of a graph's tensors, as TensorFlow infers them."""

from __future__ import annotations

from typing import Any

from freeze.graph.graphdef import GraphDef, unplaced
from tracker.core.tensorflow import import_tensorflow


class Shapes:
    """Looks tensors up by name; everything is unknown where the graph cannot be imported here."""

    def __init__(self, graph_def: GraphDef) -> None:
        tf = import_tensorflow()
        graph_def = unplaced(graph_def)
        self.graph = tf.Graph()
        try:
            with self.graph.as_default():
                tf.import_graph_def(graph_def, name="")
        except (ValueError, tf.errors.OpError):
            self.graph = tf.Graph()

    def tensor(self, ref: str) -> Any:
        """The tf.Tensor, or None."""
        name, _, index = ref.partition(":")
        try:
            return self.graph.get_operation_by_name(name).outputs[int(index or 0)]
        except (KeyError, ValueError, IndexError):
            return None

    def of(self, ref: str) -> list[int | None] | None:
        """Dimensions, None for each unknown one; None where the rank is unknown."""
        tensor = self.tensor(ref)
        return None if tensor is None or tensor.shape.rank is None else tensor.shape.as_list()

    def text(self, ref: str) -> str:
        """`features float32 [?, 128]`."""
        tensor = self.tensor(ref)
        if tensor is None:
            return ref
        dims = (
            "unknown shape"
            if tensor.shape.rank is None
            else "[" + ", ".join("?" if d is None else str(d) for d in tensor.shape) + "]"
        )
        return f"{ref.removesuffix(':0')} {tensor.dtype.name} {dims}"
