"""Connections to the database: how they are opened, limited, watched, and kept apart after a fork."""
