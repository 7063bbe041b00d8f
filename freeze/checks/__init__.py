"""Diagnoses: each looks at the graph, and raises a FreezeError that names code, cause, place and remedy."""
