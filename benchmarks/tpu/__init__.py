"""Programs compiled for a TPU that is not there, and what they cost."""
