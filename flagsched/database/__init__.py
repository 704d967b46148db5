"""SQLAlchemy for PostgreSQL and SQLite; rows never leave this package."""
