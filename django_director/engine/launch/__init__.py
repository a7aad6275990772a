"""Owns how a run begins: its order, its first rows, and a new run from an old one.

Messages leave after the commit.
"""
