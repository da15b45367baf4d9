"""Readers of the folders that people have, and the TFDS builders on top."""
