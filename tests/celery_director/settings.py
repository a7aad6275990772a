"""The settings of its workers: those of the other acceptance tests, with this app in place of the tests' own."""

from pathlib import Path

from tests.acceptance.settings import *  # noqa: F403
from tests.acceptance.settings import DIRECTOR, INSTALLED_APPS

INSTALLED_APPS = ["tests.celery_director" if name == "tests.testapp" else name for name in INSTALLED_APPS]
# `workflows.yml` is read because it stands in an installed app.
DIRECTOR = DIRECTOR | {"WORKFLOWS": [Path(__file__).parent / name for name in ("docs.yml", "timings.yml")]}
