"""Loaders: one module a format; each returns a `Model`."""
