"""Access tokens: how they are verified, with which keys, and which roles they hold."""
