"""Keys: runs of one workflow with the same key share the slots of `concurrency`."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Final

from django_director.exceptions import ExpressionError, InvalidPayload
from django_director.graph import Graph, Values, of_concurrency
from django_director.masking.redaction import Redactor, shown_error
from django_director.masking.values import mask

NO_KEY: Final = ""
"""Where the workflow has no ``key``. No value has this text, and unlike NULL it is equal to itself everywhere."""
READABLE: Final = 100
"""How much of a value's text a key with a digest begins with."""
_DIGEST: Final = "#" + 64 * "0"
_PLAIN: Final = re.compile(r'[a-z0-9_.:"-]{1,120}')
"""What every database compares byte by byte. Others depend on the collation: case, accents, blanks at the end."""


def key_of(graph: Graph, payload: object, facts: dict[str, Any]) -> str | None:
    """Return the key of a run with this payload, or ``None``; its expression knows ``facts`` as ``run``.

    Raises ``InvalidPayload`` when the expression fails. Its message holds no secret of the payload.
    """
    if graph.definition.concurrency is None:
        return None
    values = of_concurrency(graph)
    if values is None:
        return NO_KEY
    try:
        return text_of(_value(values, payload, facts))
    except ExpressionError as error:
        # Its own text, which a traceback would show as the cause, may hold secrets.
        raise _refusal(graph, values, payload, facts, error) from None


def _value(values: Values, payload: object, facts: dict[str, Any]) -> object:
    return values.evaluate("key", {"payload": payload, "run": facts})


def _refusal(
    graph: Graph, values: Values, payload: object, facts: dict[str, Any], error: ExpressionError
) -> InvalidPayload:
    schema = graph.definition.schema
    texts = Redactor(lambda: payload, schema, None)
    shown = shown_error(error, lambda: _value(values, mask(payload, schema), facts), texts)
    full, plain = (f"`concurrency.key` gives no value: {text}" for text in (shown, error.plain))
    return InvalidPayload([{"path": "", "message": full}], [{"path": "", "message": plain}])


def text_of(value: object) -> str:
    """Turn a JSON value into a key. Values that are equal in an expression have the same key, others never."""
    text = json.dumps(_as_compared(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    if _PLAIN.fullmatch(text):
        return text
    return f"{text[:READABLE]}#{hashlib.sha256(text.encode()).hexdigest()}"


def readable(key: str) -> str:
    """Return the beginning of a key's value, without the digest."""
    return key if _PLAIN.fullmatch(key) else key[: -len(_DIGEST)] + "…" * (len(key) >= READABLE + len(_DIGEST))


def _as_compared(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_as_compared(item) for item in value]
    if isinstance(value, dict):
        return {key: _as_compared(item) for key, item in value.items()}
    return value
