"""How a project tests its workflows: whole runs, in this process, without a broker."""

# ruff: noqa: PT009, PT027 - Django's assertions, for `manage.py test`

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from django.conf import settings
from django.core import mail
from django.test import TestCase, override_settings

from django_director import retry
from django_director.exceptions import InvalidPayload
from django_director.testing import run_workflow
from django_director.worker.local import run_to_end

from .models import Order, Return

SAMPLES = settings.BASE_DIR / "example_project" / "samples"


class WorkflowTests(TestCase):
    def setUp(self) -> None:
        self.inbox = Path(tempfile.mkdtemp()) / "inbox"
        shutil.copytree(SAMPLES, self.inbox)
        self.addCleanup(shutil.rmtree, self.inbox.parent)
        changed = override_settings(INBOX=self.inbox)
        changed.enable()
        self.addCleanup(changed.disable)

    def test_orders_are_imported_once_however_often_it_runs(self) -> None:
        first = run_workflow("orders.IMPORT")
        again = run_workflow("orders.IMPORT")
        self.assertEqual([first.status, again.status], ["success", "success"])
        self.assertEqual(first.result, {"created": 40, "updated": 0})
        self.assertEqual(again.result, {"created": 0, "updated": 40})
        self.assertEqual(Order.objects.get(number="A1003").country, "CH")

    def test_a_wrong_value_is_named_with_its_line(self) -> None:
        (self.inbox / "wrong.csv").write_text(
            "number,ordered_on,customer,item,quantity,price,currency\nA1,2026-10-01,C001,Lamp,many,1.00,EUR\n"
        )
        run = run_workflow("orders.IMPORT", {"file": "wrong.csv"})
        self.assertEqual(run.status, "failed")
        self.assertIn("line 2: ", run.tasks.get(step="orders.check").error)
        self.assertEqual(mail.outbox[0].subject, "The import of orders has failed")

    def test_a_file_outside_of_the_inbox_is_refused(self) -> None:
        with self.assertRaises(InvalidPayload):
            run_workflow("orders.IMPORT", {"file": "../orders.csv"})

    def test_returns_are_repaired_and_retried(self) -> None:
        run_workflow("orders.IMPORT")
        run = run_workflow("orders.RETURNS")
        self.assertEqual(run.status, "failed")
        file = self.inbox / "returns.csv"
        file.write_text(file.read_text().replace("189.OO", "189.00"))
        retried = run_to_end(retry(run))
        self.assertEqual(retried.status, "success")
        self.assertEqual(Return.objects.count(), 3)
