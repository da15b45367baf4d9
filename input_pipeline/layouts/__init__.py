"""Readers of the folders that people have."""
