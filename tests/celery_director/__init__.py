"""celery-director's test fixtures and the examples of its documentation, as a project that has come over from it.

Copied from https://github.com/ovh/celery-director at 0123fb0 (version 0.9.0): `tests/workflows`, and the examples
of `docs/docs`. BSD-3-Clause, Copyright (c) 2013-2020, OVH SAS, see LICENSE beside this file. Changed are only

- `from director import task`, which is `from django_director import task` here;
- the names of documentation workflows that it gives to several ones (`example.ETL` is three of them);
- what the documentation's tasks use and it does not show (`Order`, `Mail`, …), for which `tasks/docs.py` has
  stand-ins.
"""

from .celery import app as celery_app

__all__ = ["celery_app"]
