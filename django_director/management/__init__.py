"""Owns the commands: they find rows, call one operation of the engine, and print what came of it.

Nothing here is imported by another room.
"""
