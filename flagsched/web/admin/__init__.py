"""Routes: each loads, calls a use case, and dumps."""
