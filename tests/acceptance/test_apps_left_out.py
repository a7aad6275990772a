"""The app works with each of its optional neighbours left out of INSTALLED_APPS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .harness import ROOT

NEIGHBOURS = ("rest_framework", "django_celery_beat", "django_celery_results")

USE = """
import json
from django.apps import apps
from django.contrib import admin
from django.core.management import call_command
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse
from django_director.testing import run_workflow

call_command("check", fail_level="WARNING")
call_command("migrate", verbosity=0)
call_command("syncworkflows")
run = run_workflow("example.RANDOMS", {"start": 2, "end": 2})
get_user_model().objects.create_superuser("root", password="root")
client = Client()
assert client.login(username="root", password="root")
pages = {}
for model in apps.get_app_config("django_director").get_models():
    name = f"admin:django_director_{model._meta.model_name}"
    if not admin.site.is_registered(model):
        continue
    address = reverse(name + "_changelist")
    pages[address] = client.get(address).status_code
for thing, page in ((run, "run"), (run.workflow, "workflow"), (run.tasks.first(), "task")):
    address = reverse(f"admin:django_director_{page}_change", args=[thing.pk])
    pages[address] = client.get(address).status_code
api = client.get("/director/api/workflows/").status_code
print(json.dumps({"status": run.status, "result": run.result, "pages": pages, "api": api}))
"""


@pytest.mark.parametrize(
    "left_out",
    [NEIGHBOURS, *(pytest.param((app,), marks=pytest.mark.slow) for app in NEIGHBOURS)],
    ids=lambda apps: " ".join(apps),
)
def test_everything_works_without(left_out: tuple[str, ...], tmp_path: Path):
    environ = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.acceptance.left_out_settings",
        "DIRECTOR_TEST_LEFT_OUT": " ".join(left_out),
        "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
    }

    code = f"import django; django.setup()\n{USE}"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert (said["status"], said["result"]) == ("success", 4)
    assert len(said["pages"]) >= 6
    assert set(said["pages"].values()) == {200}, said["pages"]
    assert said["api"] == (404 if "rest_framework" in left_out else 200)
