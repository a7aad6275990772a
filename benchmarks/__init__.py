"""What a task costs here, in plain Celery and in celery-director, measured side by side; see README.md."""
