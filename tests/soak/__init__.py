"""Runs stopped at random moments, against one that nobody stopped."""
