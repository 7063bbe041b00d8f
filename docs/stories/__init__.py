"""Three encoders that TensorFlow does not freeze today, and what freezes them: each module is a script."""
