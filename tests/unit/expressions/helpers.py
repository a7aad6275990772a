"""The data that tests and the examples of the documentation evaluate with."""

from __future__ import annotations

from typing import Any

from django_director.expressions import compile_expression

NAMES: dict[str, Any] = {
    "payload": {
        "order": 7,
        "amount": 1200,
        "rate": 0.5,
        "paid": True,
        "email": None,
        "country": "fr",
        "class": {"from": "Lyon"},
        "order-id": "A-1",
        "lines": [{"sku": "x", "count": 2}, {"sku": "y", "count": 3}],
        "prices": [5, 2.5, 9],
        "empty": [],
    },
    "tasks": {
        "FETCH": {"result": {"id": 41, "images": ["a.png", "b.png"]}, "status": "success"},
        "FETCH-2": {"result": 2, "status": "success"},
        "shop.tasks.notify": {"result": None, "status": "failed"},
        "SIGN_OFF": {
            "result": None,
            "status": "success",
            "decision": {"approved": True, "by": "eva", "comment": "fine", "at": "2026-11-25T08:00:00Z"},
        },
    },
    "run": {"id": "0199", "workflow": "shop.ORDER", "trigger": "api", "scheduled_for": None},
    "item": {"url": "https://example.org/a.png", "from": 3},
    "index": 1,
}


def value_of(text: str, **names: Any) -> Any:
    """The value of an expression; ``names`` stand in for those of ``NAMES``."""
    return compile_expression(text).evaluate({**NAMES, **names})
