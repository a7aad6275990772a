"""Owns the steps that wait without a worker: approvals, timers, maps, child workflows.

Each has its own module.
"""
