"""Owns what is done about rows that are due: messages, leases, time limits, waits, old runs.

Doing any of it twice is harmless.
"""
