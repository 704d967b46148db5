"""The HTTP API: authentication, validation of requests, and the format of responses."""
