"""The example project under another look of Django's admin, which ``DIRECTOR_THEME`` names."""

import os

from example_project.settings import *  # noqa: F403
from example_project.settings import INSTALLED_APPS

THEME = os.environ["DIRECTOR_THEME"]
DEBUG = False
INSTALLED_APPS = [THEME, *INSTALLED_APPS]
