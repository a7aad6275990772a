"""Owns the text of workflow files: YAML as nodes that know their places, and problems found there.

It knows no step.
"""
