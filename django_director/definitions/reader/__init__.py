"""Owns how nodes become a definition: steps, their ids and order, hooks, schedules, schema, policies.

It asks ``kinds`` what a step is, and never looks at other workflows or at the project: that is for ``checks``.
"""
