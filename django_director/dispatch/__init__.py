"""Owns what is sent to Celery: the only sender of tasks, its connections, and where messages go.

It knows no run: it is handed messages, and says which of them could not be sent.
"""
