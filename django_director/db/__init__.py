"""Owns how the database is asked: its clock, compiled statements, transactions, waits for locks.

It knows no model of this package and no Celery.
"""
