"""Training: losses, optimizer, devices, state, checkpoints."""
