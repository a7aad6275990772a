"""Owns what is checked when a definition is whole: calls, tasks, permissions, queues, retries.

It is handed what the project has, and imports none of it.
"""
