"""Losses, each as a (sum, count) of one device."""
