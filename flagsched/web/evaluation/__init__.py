"""What applications ask: OFREP, and the plain JSON of /api/config."""
