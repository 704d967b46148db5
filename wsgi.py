"""The WSGI application: `gunicorn wsgi:app`."""

from flagsched import create_app

app = create_app()
