"""Owns what every room needs: ids, JSON values, nearest names, problems with places, failure points.

It knows no model, no Celery and no setting.
"""
