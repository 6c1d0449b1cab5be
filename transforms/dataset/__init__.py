"""Read a finished dataset: its rows, whole slides, labels, and batches for training."""
