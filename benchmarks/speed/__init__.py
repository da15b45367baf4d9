"""Measuring our code and the authors', each in processes of its own."""
