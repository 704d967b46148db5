"""marshmallow schemas: bodies and queries as they come in, views as they go out."""
