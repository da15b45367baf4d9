"""Weights of others: R2GenCMN checkpoints and pretrained visual encoders."""
