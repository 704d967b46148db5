"""marshmallow schemas: bodies, queries and headers of requests, and views for responses."""
