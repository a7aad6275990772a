"""The expression language of workflow files: compiles a text to an expression that can be evaluated.

The language is closed: an expression can reach no name of Python, and its evaluation takes limited time and
memory. This room uses neither a database nor Celery.
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
