"""From films and reports on disk to batches of numpy arrays."""
