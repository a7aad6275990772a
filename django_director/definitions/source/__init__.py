"""Owns the text of a workflow file as nodes that know their places, and the report that collects its problems.

It imports nothing else of ``definitions``.
"""
