"""Owns what is secret in payloads, schemas and texts, and what people are shown in its place.

It knows no model and no Celery.
"""
