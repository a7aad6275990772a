"""The text of a workflow file as nodes that know their places, and the report that collects its problems.

It knows YAML and the words of messages, and imports nothing else of ``definitions``.
"""
