"""The CSV files of the inbox, row by row, with messages that say the line."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from django.conf import settings

Row = dict[str, Any]
Readers = dict[str, Callable[[str], Any]]

RATES: Final = {"EUR": Decimal(1), "USD": Decimal("0.92"), "GBP": Decimal("1.17"), "CHF": Decimal("1.05")}
"""What one unit of a currency is worth in euro."""


def money(text: str) -> Decimal:
    """Raises ``ValueError`` with the text."""
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(f"“{text}” is no amount") from None


def currency(text: str) -> str:
    """Raises ``ValueError`` for a currency without a rate."""
    if text not in RATES:
        raise ValueError(f"no rate for the currency “{text}”")
    return text


ORDER: Final[Readers] = {
    "number": str,
    "ordered_on": date.fromisoformat,
    "customer": str,
    "item": str,
    "quantity": int,
    "price": money,
    "currency": currency,
}
RETURN: Final[Readers] = {"number": str, "returned_on": date.fromisoformat, "reason": str, "refund": money}


def read_csv(name: str) -> list[Row]:
    """The rows of a file of the inbox, as text. Raises ``OSError``."""
    with (settings.INBOX / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def convert(rows: Iterable[Row], readers: Readers) -> list[Row]:
    """The rows with their values' types. Raises ``ValueError`` with every wrong value and its line."""
    converted, wrong = [], []
    # The first line holds the names of the columns.
    for line, row in enumerate(rows, start=2):
        try:
            converted.append({name: read(row[name]) for name, read in readers.items()})
        except KeyError as error:
            raise ValueError(f"the file has no column {error}") from None
        except (TypeError, ValueError) as error:
            wrong.append(f"line {line}: {error}")
    if wrong:
        raise ValueError("; ".join(wrong))
    return converted
