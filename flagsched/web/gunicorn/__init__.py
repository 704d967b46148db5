"""gunicorn's worker class: deadlines for slow clients, and JSON for requests that never reach the app."""
