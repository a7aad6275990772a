"""Owns how nodes become definitions: workflows, steps, options, schedules, expressions.

Each problem is reported with its place.
"""
