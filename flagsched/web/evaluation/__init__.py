"""Evaluation for applications: OFREP, and the plain JSON of /api/config."""
