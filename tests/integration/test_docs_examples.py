"""The examples in docs/reference/python.md run as they stand, with the README's workflow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from celery import current_app, shared_task
from django.contrib.auth.models import User

import django_director
from django_director import testing
from django_director.dispatch import publisher
from django_director.models import Run
from django_director.signals import run_finished
from django_director.sync import versions
from django_director.worker import local

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGE = (ROOT / "docs" / "reference" / "python.md").read_text()
EXAMPLES = [
    (heading, text)
    for heading, section in re.findall(r"^###? ([^\n]*)\n(.*?)(?=^(?:\([\w-]+\)=\n)?###? |\Z)", PAGE, re.M | re.S)
    for text in re.findall(r"```python\n(.*?)```", section, re.S)
]
OWN = "readme."
"""In place of `orders.`: the example project has tasks of the same names."""

pytestmark = pytest.mark.django_db


def from_readme(path: str) -> str:
    """The file that the README shows, with names of its own."""
    text = re.search(rf"^`{path}`[^\n]*:\n\n```\w+\n(.*?)^```$", README, re.M | re.S)
    assert text
    return text[1].replace("orders.", OWN)


@pytest.fixture(scope="module", autouse=True)
def _tasks() -> Iterator[None]:
    exec(from_readme("orders/tasks.py"), {})

    @shared_task(name=f"{OWN}fail")
    def fail() -> None:
        raise ValueError("as asked")

    yield
    for name in [name for name in current_app.tasks if name.startswith(OWN)]:
        current_app.tasks.unregister(name)


@pytest.fixture
def names(settings: Any, tmp_path: Path) -> Iterator[dict[str, Any]]:
    file = tmp_path / "workflows.yml"
    more = "\n".join(
        [
            f"{OWN}BAD: {{tasks: [{OWN}fail, {OWN}check_credit]}}",
            f"{OWN}ASK: {{tasks: [{{SIGN_OFF: {{type: approval}}}}]}}",
        ]
    )
    file.write_text(from_readme("orders/workflows.yml") + more)
    settings.DIRECTOR = {"WORKFLOWS": [str(file)]}
    versions.sync()
    with publisher.withheld():
        yield {"request": SimpleNamespace(user=User.objects.create(username="ann"))}


def started() -> Run:
    return django_director.start(f"{OWN}SHIP", {"order": 7}, publish=False)


def paused() -> Run:
    return django_director.pause(started())


def ended() -> Run:
    return local.run_to_end(started())


def failed() -> Run:
    return testing.run_workflow(f"{OWN}BAD")


def asking() -> Run:
    return testing.run_workflow(f"{OWN}ASK")


RUNS = {
    "cancel": started,
    "pause": started,
    "resume": paused,
    "retry": failed,
    "rerun": ended,
    "skip": failed,
    "relaunch": ended,
    "approve": asking,
    "reject": asking,
    "What a `Run` holds": ended,
}
"""Which run an example is about."""


@pytest.mark.parametrize(("heading", "text"), EXAMPLES, ids=[heading for heading, _ in EXAMPLES])
def test_an_example_runs(heading: str, text: str, names: dict[str, Any], capsys: Any) -> None:
    if heading in RUNS:
        names["run"] = RUNS[heading]()
    exec(text.replace("orders.", OWN), names)
    match heading:
        case "start":
            assert names["run"].user.username == "ann"
        case "astart":
            assert async_to_sync(names["order"])(names["request"]).status_code == 202
        case "approve":
            assert local.run_to_end(names["run"]).status == "success"
        case "context":
            assert names["pack"]({"pieces": ["a", "b"]}) == 2
        case "django_director.celery":
            assert issubclass(names["AcmeTask"], current_app.Task)
        case "django_director.signals":
            try:
                assert local.run_to_end(failed()).pk
            finally:
                run_finished.disconnect(names["count"])
        case "django_director.exceptions":
            shown = text.split("#")[1].strip()
            assert shown in capsys.readouterr().out
