"""Settings of the worker processes of the acceptance tests: as the test run's, with short times."""

import os
from pathlib import Path

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES

DIRECTOR: dict[str, object] = {
    "WORKFLOWS": [Path(__file__).parent / "workflows"],
    "LEASE": 3,
    "RENEW": 1,
    "DISPATCH_GRACE": 2,
    "TICK": 0.5,
    "UNKNOWN_TASK_TTL": 3,
    "MAX_TASKS_PER_RUN": 250_000,
    "SUPERVISOR": os.environ.get("DIRECTOR_TEST_SUPERVISOR", "worker"),
}
if os.environ.get("DIRECTOR_TEST_TIMES") == "real":
    # Where a worker is measured, it is one as sites have it.
    for key in ("LEASE", "RENEW", "DISPATCH_GRACE", "TICK"):
        del DIRECTOR[key]
if os.environ.get("DIRECTOR_TEST_ACKS") == "late":
    CELERY_TASK_ACKS_LATE = CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_BROKER_URL = os.environ.get("CELERY_BROKER_URL", "director://")
CELERY_RESULT_BACKEND = os.environ.get("DIRECTOR_TEST_RESULTS")
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BEAT_SYNC_EVERY = 1
CELERY_TASK_TIME_LIMIT = float(os.environ.get("DIRECTOR_TEST_TIME_LIMIT", 0)) or None
DATABASES["default"]["CONN_MAX_AGE"] = 60
