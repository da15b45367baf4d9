"""Seeded damage to small valid files, read as the commands read them."""
