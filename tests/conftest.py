from __future__ import annotations

import os

import pytest


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """For ``-n auto``: one process more than there are processors, for the tests of real processes mostly wait."""
    return (os.cpu_count() or 1) + 1
