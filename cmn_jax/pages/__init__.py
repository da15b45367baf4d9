"""Self-contained HTML: text in, text out."""
