"""Turns a trained encoder of any format into one frozen graph, and proves it."""
