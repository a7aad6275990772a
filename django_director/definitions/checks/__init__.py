"""Checks of definitions against other definitions and the project: tasks, queues, permissions, child workflows.

What a check needs of the project is handed in, so that none of them imports Celery or Django's models.
"""
