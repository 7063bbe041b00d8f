"""A GraphDef as a graph: nodes, shapes, and a way to run it with variables."""
