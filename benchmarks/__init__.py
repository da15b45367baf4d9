"""All that only measures; no part of what is installed."""
