"""The reader of a whole workflow: its steps, their ids and order, hooks, schedules, schema, policies.

It asks ``kinds`` what a step is, and never looks at other workflows or at the project: that is for ``checks``.
"""
