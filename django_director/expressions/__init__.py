"""The closed expression language of workflow files: text to something that can be evaluated, and nothing else.

No name of Python can be reached, and every evaluation is bounded in time and memory. No database, no Celery.
"""

from __future__ import annotations

from django_director.exceptions import ExpressionError

from .expression import ConstantError, Expression
from .names import ROOTS, RUN_FIELDS, STEP_FIELDS, Reference, spell
from .operations import kind
from .templates import Template, compile_expression, compile_value

__all__ = [
    "ROOTS",
    "RUN_FIELDS",
    "STEP_FIELDS",
    "ConstantError",
    "Expression",
    "ExpressionError",
    "Reference",
    "Template",
    "compile_expression",
    "compile_value",
    "kind",
    "spell",
]
