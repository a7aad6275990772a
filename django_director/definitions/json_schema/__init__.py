"""Owns the work behind ``payloads``: values against JSON Schemas, in bounded time, with reasons in plain words.

It knows nothing of workflow files, and imports nothing else of ``definitions``.
"""
