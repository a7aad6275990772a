"""Owns checks of payloads against JSON Schema, bounded whatever schema and payload are.

Nothing is ever fetched.
"""
