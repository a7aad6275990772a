"""Owns what ``manage.py check`` says: of settings and files (``static``), of the database (``live``).

It changes nothing.
"""
