"""Owns ``periodic:``: the rows of django-celery-beat, the slots of a schedule, the task that beat sends.

It starts runs through ``engine``.
"""
