"""A Celery broker in the project's database, for development and small sites: ``broker_url = "director://"``.

Importing this package makes the scheme known to kombu. It needs neither configured settings nor loaded apps, so
it may stand in the module that makes the Celery app. Put ``django_director.broker`` into ``INSTALLED_APPS`` too:
it has tables. ``director://ALIAS`` uses another database alias than ``default``.
"""

from __future__ import annotations

from kombu.transport import TRANSPORT_ALIASES

SCHEME = "director"

TRANSPORT_ALIASES.setdefault(SCHEME, "django_director.broker.transport:Transport")
