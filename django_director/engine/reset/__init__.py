"""Owns retry, rerun and skip: what they would do, and the one reset that does it.

A plan is made before its transaction and compared inside it.
"""
