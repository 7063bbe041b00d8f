"""Motion and association: NumPy and SciPy alone, no pixels, no files, no TensorFlow."""
