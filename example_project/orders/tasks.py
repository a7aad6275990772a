"""The steps of this app's workflows: plain Celery tasks.

The first free positional argument is the result of the step before; after a group it is the list of its members'
results. ``payload`` is what the run was given, ``workflow_id`` the run's id. What is returned is stored as JSON,
where an amount is text.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from celery import shared_task
from django.conf import settings
from django.core.mail import send_mail
from django.db import OperationalError, transaction

from django_director import context

from .files import ORDER, RATES, RETURN, Row, convert, read_csv
from .models import Order, Return

CENT = Decimal("0.01")
ABROAD = Decimal("14.90")
AT_HOME = Decimal("4.90")


@shared_task(name="orders.read")
def read(payload: dict[str, Any]) -> list[Row]:
    return read_csv(payload["file"])


@shared_task(name="orders.check")
def check(rows: list[Row]) -> list[Row]:
    return convert(rows, ORDER)


@shared_task(name="orders.add_customers")
def add_customers(orders: list[Row]) -> list[Row]:
    customers = {row["id"]: row for row in read_csv("customers.csv")}
    unknown = sorted({order["customer"] for order in orders} - customers.keys())
    if unknown:
        raise ValueError(f"unknown customers: {', '.join(unknown)}")
    return [
        order
        | {"customer": customers[order["customer"]]["name"], "country": customers[order["customer"]]["country"]}
        for order in orders
    ]


@shared_task(name="orders.convert_currency")
def convert_currency(orders: list[Row]) -> dict[str, Decimal]:
    return {
        order["number"]: (Decimal(order["price"]) * order["quantity"] * RATES[order["currency"]]).quantize(CENT)
        for order in orders
    }


@shared_task(name="orders.add_tax")
def add_tax(amounts: dict[str, str], percent: int) -> dict[str, dict[str, Decimal]]:
    return {
        number: {"net": Decimal(net), "tax": (Decimal(net) * percent / 100).quantize(CENT)}
        for number, net in amounts.items()
    }


@shared_task(name="orders.estimate_shipping")
def estimate_shipping(orders: list[Row]) -> dict[str, Decimal]:
    return {order["number"]: AT_HOME if order["currency"] == "EUR" else ABROAD for order in orders}


# Celery's own retries work inside a workflow: the run waits, the worker does not.
@shared_task(name="orders.load", autoretry_for=(OperationalError,), retry_backoff=True, max_retries=3)
def load(enriched: list[Any]) -> dict[str, int]:
    orders, amounts, shipping = enriched
    created = 0
    # A task may run again after its worker has died, so it must not matter how often it runs.
    with transaction.atomic():
        for order in orders:
            number = order["number"]
            values = {name: order[name] for name in ("ordered_on", "customer", "country", "item", "quantity")}
            values |= {**amounts[number], "shipping": shipping[number]}
            created += Order.objects.update_or_create(number=number, defaults=values)[1]
    if run := context():
        run.progress(len(orders), len(orders), "orders stored")
    return {"created": created, "updated": len(orders) - created}


@shared_task(name="orders.read_returns")
def read_returns(payload: dict[str, Any]) -> list[Row]:
    return convert(read_csv(payload["file"]), RETURN)


@shared_task(name="orders.known_orders")
def known_orders() -> dict[str, int]:
    return dict(Order.objects.values_list("number", "pk"))


@shared_task(name="orders.book_returns")
def book_returns(sources: list[Any]) -> dict[str, Any]:
    returns, orders = sources
    unknown = [row["number"] for row in returns if row["number"] not in orders]
    if unknown:
        raise ValueError(f"returns of unknown orders: {', '.join(unknown)}")
    with transaction.atomic():
        for row in returns:
            values = {name: row[name] for name in ("returned_on", "reason", "refund")}
            Return.objects.update_or_create(order_id=orders[row["number"]], defaults=values)
    return {"returns": len(returns), "refunded": sum(Decimal(row["refund"]) for row in returns)}


@shared_task(name="orders.mail")
def mail(subject: str, workflow_id: str) -> int:
    text = f"Run {workflow_id}: {subject}\n\nmanage.py showrun {workflow_id}\n"
    return send_mail(subject, text, from_email=None, recipient_list=[settings.OPERATIONS_EMAIL])
