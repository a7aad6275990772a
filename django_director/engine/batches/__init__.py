"""Owns what is written for a whole batch: its claim, the results of its tasks, and tasks that are put back.

All else that happens to a task of a batch happens to it alone, in ``attempts``.
"""
