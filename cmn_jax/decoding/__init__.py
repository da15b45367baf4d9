"""Writing token by token: a step function and a cache in, tokens out."""
