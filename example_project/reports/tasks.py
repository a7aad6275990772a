"""Reports on the orders, written as files."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

from celery import shared_task
from django.conf import settings
from django.db.models import Count, F, Sum
from django.template.loader import render_to_string
from django.utils import timezone

from example_project.orders.models import Order, Return

ZERO = Decimal(0)
CENT = Decimal("0.01")
"""SQLite adds decimals as floats."""


@shared_task(name="reports.collect")
def collect() -> dict[str, Any]:
    """Sales by country, and what came back."""
    gross = Sum(F("net") + F("tax") + F("shipping"))
    countries = Order.objects.order_by("country").values("country").annotate(orders=Count("pk"), gross=gross)
    rows = [row | {"gross": row["gross"].quantize(CENT)} for row in countries]
    refunds = Return.objects.aggregate(refunds=Sum("refund"))["refunds"] or ZERO
    return {
        "countries": rows,
        "gross": sum((row["gross"] for row in rows), ZERO),
        "refunds": refunds.quantize(CENT),
    }


@shared_task(name="reports.write_csv")
def write_csv(sales: dict[str, Any], name: str) -> str:
    def write(file: IO[str]) -> None:
        writer = csv.DictWriter(file, fieldnames=["country", "orders", "gross"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(sales["countries"])

    return _replace(name, write)


@shared_task(name="reports.write_html")
def write_html(sales: dict[str, Any], name: str, title: str) -> str:
    page = render_to_string("reports/sales.html", {"title": title, "sales": sales, "made_at": timezone.now()})
    return _replace(name, lambda file: file.write(page))


@shared_task(name="reports.publish")
def publish(names: list[str]) -> list[dict[str, Any]]:
    """What is there now, with its size in bytes. Raises ``ValueError`` for an empty file."""
    files = [{"name": name, "bytes": (settings.REPORTS / name).stat().st_size} for name in names]
    if empty := [file["name"] for file in files if not file["bytes"]]:
        raise ValueError(f"empty reports: {', '.join(empty)}")
    return files


def _replace(name: str, write: Callable[[IO[str]], object]) -> str:
    """Write a report beside its place and then put it there, so that nobody ever reads half of one."""
    settings.REPORTS.mkdir(parents=True, exist_ok=True)
    target: Path = settings.REPORTS / name
    draft = target.with_name(f".{name}.{os.getpid()}")
    with draft.open("w", newline="", encoding="utf-8") as file:
        write(file)
    draft.replace(target)
    return name
