"""Settings without the apps that ``DIRECTOR_TEST_LEFT_OUT`` names."""

import os
from pathlib import Path

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS

DIRECTOR = {"WORKFLOWS": [Path(__file__).parent / "workflows"]}
_OUT = tuple(os.environ["DIRECTOR_TEST_LEFT_OUT"].split())
INSTALLED_APPS = [app for app in INSTALLED_APPS if not app.startswith(_OUT)]
assert not {app.split(".")[0] for app in INSTALLED_APPS} & set(_OUT)
