"""Scores of reports and of classes: numpy, no jax."""
