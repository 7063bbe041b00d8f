"""Runtimes that run a detection graph: OpenVINO, a TensorFlow session."""
