"""celery-director 0.10.0 in an environment of its own."""
