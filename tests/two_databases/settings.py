"""The settings of the test suite with a second database for django-director's tables.

``DIRECTOR_TEST_ROUTER=1`` adds a router, which keeps every table in one of the two databases only.
``SECOND_DATABASE_URL`` names the second database for processes beside the tests; else it stands beside the first.
"""

import os
import tempfile
from pathlib import Path

from tests.acceptance.settings import *  # noqa: F403
from tests.acceptance.settings import DATABASES, DIRECTOR, RUN
from tests.databases import database_from_url

DATABASES["director"] = DATABASES["default"] | {"NAME": f"{DATABASES['default']['NAME']}b"}
if "SECOND_DATABASE_URL" in os.environ:
    DATABASES["director"] = database_from_url(os.environ["SECOND_DATABASE_URL"])
elif "TEST" in DATABASES["default"]:
    for alias, database in DATABASES.items():
        name = Path(tempfile.gettempdir()) / f"director-tests-{RUN}-{alias}.sqlite3"
        database["TEST"] = {"NAME": str(name)}
DIRECTOR |= {"DATABASE": "director", "WORKFLOWS": [Path(__file__).parent / "workflows.yml"]}
if os.environ.get("DIRECTOR_TEST_ROUTER") == "1":
    DATABASE_ROUTERS = ["tests.two_databases.router.OneHome"]
