"""Losses, each as a (sum, count) so that devices add up exactly."""
