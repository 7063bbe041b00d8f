"""Frames in and out: sources, camera motion, optical flow, drawing, sinks."""
