"""Owns Celery's side: what a worker does with a message, its processes and its signs of life.

It changes rows through ``engine`` only. ``engine`` and the faces import nothing of it but ``local``.
"""
