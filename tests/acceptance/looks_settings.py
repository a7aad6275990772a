"""The example project under a strict content security policy: what its pages look like is checked in a browser."""

from example_project.settings import *  # noqa: F403
from example_project.settings import MIDDLEWARE

DEBUG = False
MIDDLEWARE = ["tests.acceptance.content_policy.send_policy", *MIDDLEWARE]
