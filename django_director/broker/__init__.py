"""A Celery broker in the project's database, for development and small sites: ``broker_url = "director://"``.

To import this package registers the URL scheme with kombu. It needs neither configured settings nor loaded apps,
so the module that makes the Celery app can import it. Put ``django_director.broker`` into ``INSTALLED_APPS`` too,
because it has tables. ``director://ALIAS`` uses another database alias than ``default``.
"""

from __future__ import annotations

from kombu.transport import TRANSPORT_ALIASES

SCHEME = "director"

TRANSPORT_ALIASES.setdefault(SCHEME, "django_director.broker.transport:Transport")
