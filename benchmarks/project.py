"""The driver's own Django: the benchmark's database with its workflows, made anew and dropped."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from .contenders.ours import write_workflows
from .places import Places, remove


@contextmanager
def project(places: Places) -> Iterator[None]:
    """Django set up in this process on a new database with the workflows of every suite. Once in a process."""
    os.environ.update(places.environment())
    import django

    django.setup()
    import_module("benchmarks.app")
    from django.core.management import call_command
    from django.db import connection

    write_workflows(places.folder / "workflows.yml")
    name = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        call_command("syncworkflows", verbosity=0)
        yield
    finally:
        connection.creation.destroy_test_db(name, verbosity=0)
        remove(places)
