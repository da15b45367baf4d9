"""Prepared shards, and images read as they come."""
