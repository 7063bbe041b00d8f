"""Many videos and long ones: planned here, tracked by Ray's workers, stitched and kept as one data set."""
