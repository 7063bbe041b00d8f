"""The proof that the frozen graph equals the live model."""
