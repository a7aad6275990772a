"""For gunicorn."""

from django.core.wsgi import get_wsgi_application

from . import app  # noqa: F401 - the Celery app publishes

application = get_wsgi_application()
