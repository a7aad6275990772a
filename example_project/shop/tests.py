"""How a project tests a workflow with an approval: the run waits, the test decides."""

# ruff: noqa: PT009 - Django's assertions, for `manage.py test`

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.core import mail
from django.test import TestCase

from django_director.testing import approve, reject, run_workflow

from .models import Shipment


class OrderTests(TestCase):
    def test_an_approved_order_is_shipped_once(self) -> None:
        run = run_workflow("shop.ORDER", {"order": 7, "amount": 1500})
        self.assertEqual(run.tasks.get(step="SIGN_OFF").status, "waiting")
        run = approve(run, user=get_user_model().objects.create(username="eva"))
        self.assertEqual((run.status, run.error), ("success", ""))
        shipment = Shipment.objects.get()
        self.assertEqual((shipment.order, str(shipment.total), shipment.approved_by), (7, "1800.00", "eva"))
        self.assertEqual(run.result, {"shipment": shipment.pk, "order": 7})
        self.assertEqual([m.subject for m in mail.outbox], ["Order 7 is a large one", "Order 7: it is on its way"])

    def test_a_rejected_order_is_not_shipped(self) -> None:
        run = reject(run_workflow("shop.ORDER", {"order": 8}), comment="the address is wrong")
        self.assertEqual(run.error, "SIGN_OFF: Rejected: the address is wrong")
        self.assertFalse(Shipment.objects.exists())
        self.assertEqual(run.tasks.get(step="CLEANUP").status, "success")
        self.assertEqual([m.subject for m in mail.outbox], ["Order 8: it was not shipped"])
