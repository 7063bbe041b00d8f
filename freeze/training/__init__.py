"""Training of the appearance encoder: data, batches, losses, the model, the loop and its files."""
