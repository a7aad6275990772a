"""Owns what follows from the end of a task: joins, items of maps, hooks, the end of the run.

All of it is decided in the transaction that ends the task.
"""
