"""Owns the checks of whole definitions: calls of workflows, tasks, permissions, queues, retries.

What a check needs of the project is handed in; no check imports any of it.
"""
