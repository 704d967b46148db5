"""The HTTP side: who asks, what is well formed, and how answers read."""
