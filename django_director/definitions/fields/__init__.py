"""Owns the readers of single keys: texts, numbers, durations, expressions, options that many steps have.

They import ``source`` and the values of ``model``, and no kind of step.
"""
