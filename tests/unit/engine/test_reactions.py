"""Who reacts to the end of a run, although whoever ends it does not know them."""

from __future__ import annotations

import os
import subprocess
import sys

from django_director.engine.reactions import Event

PROGRAM = """
import django
from django.conf import settings

settings.configure(
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "tests.unit.engine.bare.Bare"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()
from django_director.engine import reactions
for event in (reactions.slot_freed, reactions.run_ended, reactions.step_time_up):
    print(*(f"{reaction.__module__}.{reaction.__name__}" for reaction in event.reactions))
"""
REACTIONS = [
    "django_director.engine.concurrency.admission.admit_next_after",
    "django_director.engine.steps.child_workflows.report_after",
    "django_director.engine.steps.child_workflows.fail_late_step",
]


def test_they_are_registered_when_anything_of_the_engine_is_imported():
    # Without the app's own start, which may import more of the engine.
    env = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=env, timeout=60, check=False
    )
    assert done.stdout.split() == REACTIONS, done.stderr


def test_an_event_calls_its_reactions_in_order():
    heard: list[str] = []
    event: Event[str] = Event()
    event.register(lambda subject: heard.append(f"first {subject}"))
    event.register(lambda subject: heard.append(f"second {subject}"))
    event("a run")
    assert heard == ["first a run", "second a run"]
