"""Readers of single keys: texts, numbers, durations, expressions, the options that many steps have.

They import ``source`` and ``model``; kinds of steps and the reader of whole workflows are built of them.
"""
