"""Owns what all faces show: one JSON shape of each row, look-ups by name, health, open approvals.

It changes nothing and knows no face.
"""
