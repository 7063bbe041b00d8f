"""Detectors behind one registry, one file per family."""
