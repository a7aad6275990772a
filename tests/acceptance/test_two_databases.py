"""The app's tables on an alias of their own: the tests of tests/two_databases, in a process with such settings."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from .harness import ROOT


@pytest.mark.slow
@pytest.mark.worker
@pytest.mark.timeout(400)
@pytest.mark.fault(46)
@pytest.mark.parametrize("router", ["0", "1"], ids=["without a router", "with a router"])
def test_everything_works_with_two_databases(router: str):
    environ = os.environ | {
        "DIRECTOR_TEST_ROUTER": router,
        "DIRECTOR_TEST_RUN": f"{os.environ['DIRECTOR_TEST_RUN']}-two{router}",
        "CELERY_BROKER_URL": "director://",
    }
    if "DATABASE_URL" in environ:
        # This process has test databases of that name.
        environ["DATABASE_URL"] += f"_{os.getpid()}_two{router}"
    options = ("-q", "-p", "no:xdist", "-p", "no:cacheprovider", "--ds", "tests.two_databases.settings")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            *options,
            "tests/two_databases",
            "tests/integration/models/test_migrations.py",
        ],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=390,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-2_000:]
