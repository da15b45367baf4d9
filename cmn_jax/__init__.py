"""Chest X-ray reports by cross-modal memory networks, in JAX and Flax."""
