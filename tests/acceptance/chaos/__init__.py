"""Chaos: real workers, a real broker and database, and faults drawn from a seed.

``python -m tests.acceptance.chaos --seconds 600 --seed 7``, or ``make chaos SECONDS=600 SEED=7``.
"""
