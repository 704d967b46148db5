"""Transactions that are open at once, on PostgreSQL."""
