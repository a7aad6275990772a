"""The order of the example project: approved through a command, with a worker that is killed ten times."""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from .harness import Worker, manage, wait_for

pytestmark = [pytest.mark.worker, pytest.mark.slow, pytest.mark.timeout(600)]

KILLS = 10
SEED = int(os.environ.get("DIRECTOR_ORDER_SEED") or 20261125)
STEPS = {
    *("FETCH", "STOCK", "SCORE", "DECIDE", "PRICE", "THUMBNAILS", "NOTIFY_SALES"),
    *("SIGN_OFF", "SHIP", "COOL_DOWN", "CLEANUP"),
}
EVA = """
from django.contrib.auth.models import Group, Permission, User
eva = User.objects.create(username="eva")
eva.user_permissions.add(Permission.objects.get(codename="approve_order"))
eva.groups.add(Group.objects.create(name="sales"))
"""


class Shop:
    """The example project with files and a database of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broker = "director://"
        self.environ = {
            "DJANGO_SETTINGS_MODULE": "tests.acceptance.shop_settings",
            "EXAMPLE_VAR": str(folder / "var"),
            "DATABASE_URL": "",
        }
        self.worker: Worker | None = None

    def manage(self, *words: str, expected: int = 0) -> str:
        done = manage(self.broker, *words, **self.environ)
        assert done.returncode == expected, done.stdout + done.stderr
        return done.stdout if expected == 0 else done.stderr

    def run(self, run_id: str) -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(self.manage("showrun", run_id, "--json"))
        return shown | {"by_step": {task["step"]: task for task in shown["tasks"]}}

    def restart(self) -> None:
        self.kill()
        self.worker = Worker(self.broker, self.folder, **self.environ)
        self.worker.command[self.worker.command.index("tests.testapp")] = "example_project"
        self.worker.start()

    def kill(self) -> None:
        if self.worker is not None:
            self.worker.kill()


@pytest.fixture
def shop(tmp_path):
    shop = Shop(tmp_path)
    shop.manage("migrate", "-v0")
    shop.manage("syncworkflows")
    shop.manage("shell", "-v0", "-c", EVA)
    yield shop
    shop.kill()


def test_it_is_approved_through_a_command_and_survives_kill_9_at_ten_random_moments(shop: Shop):
    chance = random.Random(SEED)
    sys.stdout.write(f"DIRECTOR_ORDER_SEED={SEED}\n")
    payload = json.dumps({"order": 7, "amount": 1500})
    run_id = shop.manage("runworkflow", "shop.ORDER", payload).split()[-1]
    approved = False
    for _ in range(KILLS):
        shop.restart()
        time.sleep(chance.uniform(0, 6))
        if not approved and shop.run(run_id)["by_step"]["SIGN_OFF"]["asked_at"]:
            shop.manage("approvetask", f"{run_id}:SIGN_OFF", "--user", "eva", "--comment", "checked")
            approved = True
    shop.restart()
    if not approved:
        wait_for(lambda: shop.run(run_id)["by_step"]["SIGN_OFF"]["asked_at"], 90, "somebody is asked")
        shop.manage("approvetask", f"{run_id}:SIGN_OFF", "--user", "eva", "--comment", "checked")
    run = wait_for(lambda: ended(shop, run_id), 180, "the run and its hooks have ended")

    assert (run["status"], run["error"]) == ("success", None)
    tasks = run["by_step"]
    assert {step for step, task in tasks.items() if not task["is_hook"]} == STEPS
    assert {task["status"] for task in run["tasks"]} == {"success"}
    assert tasks["SIGN_OFF"]["decision"] | {"at": None} == {
        "approved": True,
        "by": "eva",
        "comment": "checked",
        "at": None,
    }
    assert tasks["COOL_DOWN"]["duration"] >= 30
    assert tasks["PRICE"]["result"]["total"] == "1800.00"
    assert run["result"] == {"shipment": 1, "order": 7}
    assert {task["step"] for task in run["tasks"] if task["is_hook"]} == {
        "hooks.success.MAIL_OK",
        "hooks.always.METRICS",
    }
    ask = "from example_project.shop.models import Shipment; print(list(Shipment.objects.values_list()))"
    shipped = shop.manage("shell", "-v0", "-c", ask)
    assert shipped.startswith("[(1, 7, Decimal('1800.00'), 'eva', ")
    assert "(2," not in shipped
    error = shop.manage("approvetask", f"{run_id}:SIGN_OFF", "--reject", "--user", "eva", expected=1)
    assert "can't be rejected: it was approved by eva" in error


def ended(shop: Shop, run_id: str) -> dict[str, Any] | None:
    run = shop.run(run_id)
    active = {task["status"] for task in run["tasks"]} & {"pending", "queued", "running", "waiting"}
    return run if run["finished_at"] and not active else None
