"""A short chaos run, and that its plan is its seed's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .chaos.plan import HURTING, KINDS, RECOVERY, draw
from .chaos.site import Site
from .harness import ROOT


def test_the_seed_determines_the_plan():
    plan = draw(7, 600, workers=3)
    assert plan == draw(7, 600, workers=3)
    assert plan != draw(8, 600, workers=3)
    assert plan == sorted(plan)
    assert {fault.kind for fault in plan} == set(KINDS)
    assert all(fault.at + fault.seconds < 600 for fault in plan)


def test_every_kind_can_be_done_and_left_out():
    assert [kind for kind in KINDS if not callable(getattr(Site, kind, None))] == []
    assert {what for what, _ in KINDS.values()} == set(RECOVERY)
    assert {fault.kind for fault in draw(7, 600, workers=3, kinds=KINDS.keys() - {"lock_run"})} == (
        KINDS.keys() - {"lock_run"}
    )
    assert not HURTING.keys() & KINDS.keys()


def test_a_kind_that_does_not_exist_is_refused():
    command = [sys.executable, "-m", "tests.acceptance.chaos", "--plan", "--without", "lock_tusk"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "lock_tusk" in done.stderr


@pytest.mark.slow
@pytest.mark.worker
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [pytest.param(278, id="seed 278")])
def test_a_minute_of_chaos(seed: int, tmp_path: Path):
    options = ["--seconds", "60", "--seed", str(seed)]
    for name, variable in (("--database", "DATABASE_URL"), ("--broker", "CELERY_BROKER_URL")):
        options += [name, os.environ[variable]] if variable in os.environ else []
    done = subprocess.run(
        [sys.executable, "-m", "tests.acceptance.chaos", *options],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    folder = re.search(r"logs in ([^;\s]+)$", done.stdout, re.MULTILINE)
    assert folder is not None
    summary = json.loads((Path(folder[1]) / "summary.json").read_text())
    assert summary["violations"] == []
    assert summary["runs"] > 10
    assert summary["commits"] >= summary["runs"]
