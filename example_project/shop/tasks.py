"""The steps of ``shop.ORDER`` and ``logistics.SHIP``.

What a real shop would ask of others is made up from the order's number.
"""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

from celery import shared_task
from django.conf import settings
from django.core.mail import send_mail

from django_director import context

from .models import Shipment

CENT = Decimal("0.01")
VAT = 20
RISKY = 90


def work() -> None:
    """As long as such a step may take, where somebody wants to watch."""
    time.sleep(settings.SHOP_PACE)


@shared_task(name="FETCH")
def fetch(payload: dict[str, Any]) -> dict[str, Any]:
    work()
    order = payload["order"]
    return {"id": order, "images": [{"url": f"https://images.example.com/{order}/{n}.jpg"} for n in range(3)]}


@shared_task(name="STOCK")
def stock(order: dict[str, Any]) -> dict[str, Any]:
    work()
    return {"order": order["id"], "in_stock": True}


@shared_task(name="SCORE")
def score(order: dict[str, Any]) -> int:
    work()
    return order["id"] * 37 % 100


@shared_task(name="DECIDE")
def decide(risk: int) -> dict[str, Any]:
    work()
    return {"risk": risk, "is_risky": risk >= RISKY}


@shared_task(name="PRICE")
def price(checks: list[dict[str, Any]], payload: dict[str, Any]) -> dict[str, Decimal]:
    work()
    net = Decimal(str(payload["amount"])).quantize(CENT)
    tax = (net * VAT / 100).quantize(CENT)
    return {"net": net, "tax": tax, "total": net + tax}


@shared_task(name="shop.tasks.notify")
def notify(channel: str, order: int) -> int:
    work()
    return send_mail(f"Order {order} is a large one", f"For {channel}.", None, [settings.OPERATIONS_EMAIL])


@shared_task(name="RESIZE")
def resize(url: str, width: int) -> str:
    work()
    return f"{url}?width={width}"


@shared_task(name="PACK")
def pack(payload: dict[str, Any]) -> dict[str, Any]:
    work()
    return {"order": payload["order"], "parcels": 1}


@shared_task(name="HAND_OVER")
def hand_over(parcel: dict[str, Any], payload: dict[str, Any]) -> dict[str, Any]:
    work()
    values = {"total": Decimal(payload["total"]), "approved_by": payload["approved_by"]}
    shipment, _ = Shipment.objects.get_or_create(order=parcel["order"], defaults=values)
    return {"shipment": shipment.pk, "order": shipment.order}


@shared_task(name="CLEANUP")
def cleanup(payload: dict[str, Any]) -> str:
    work()
    return f"nothing is left of order {payload['order']}"


@shared_task(name="METRICS")
def metrics(payload: dict[str, Any], workflow_id: str) -> str:
    run = context()
    return f"order {payload['order']}, run {run.run_id if run else workflow_id}"


@shared_task(name="shop.mail")
def mail(subject: str, payload: dict[str, Any], workflow_id: str) -> int:
    text = f"Run {workflow_id}\n\nmanage.py showrun {workflow_id}\n"
    return send_mail(f"Order {payload['order']}: {subject}", text, None, [settings.OPERATIONS_EMAIL])
