"""Makes the situation in a database of its own, serves it, and prints one line of JSON that says where.

DJANGO_SETTINGS_MODULE=… python -m scripts.screenshots.serve

The line has ``site``, ``cookie`` (of a signed-in administrator: a name and a value), ``pages`` (an address for
each name) and ``pictured`` (the names of those that differ most). A line on its standard input plants hostile
texts in all rows; an empty line is the answer. The server ends when its standard input does.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile


def main() -> None:
    with tempfile.TemporaryDirectory() as var:
        os.environ |= {"EXAMPLE_VAR": var, "DATABASE_URL": f"sqlite:///{var}/db.sqlite3"}
        os.environ["CELERY_BROKER_URL"] = "director://"
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_project.settings")
        import django

        django.setup()
        _serve()


def _serve() -> None:
    from django.conf import settings
    from django.contrib.staticfiles.handlers import StaticFilesHandler
    from django.core.management import call_command
    from django.test import Client
    from django.test.testcases import LiveServerThread

    from tests import factories, hostile

    from . import further_pages, situation, take, tasks

    call_command("migrate", verbosity=0)
    made = situation.make()
    pictured = dict(take.pages(made))
    pages = pictured | dict([*further_pages.further_pages(made), *tasks.pages(*tasks.CHECKED)])
    client = Client()
    client.force_login(factories.make_admin())
    server = LiveServerThread("localhost", StaticFilesHandler)
    server.daemon = True
    server.start()
    server.is_ready.wait()
    cookie = {"name": settings.SESSION_COOKIE_NAME, "value": client.cookies[settings.SESSION_COOKIE_NAME].value}
    site = f"http://localhost:{server.port}"
    print(json.dumps({"site": site, "cookie": cookie, "pages": pages, "pictured": list(pictured)}), flush=True)
    for _ in sys.stdin:
        hostile.plant()
        print(flush=True)
    server.terminate()


if __name__ == "__main__":
    main()
