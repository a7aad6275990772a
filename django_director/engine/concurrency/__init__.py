"""Owns which pending run starts next: keys, slots, the queue of each key.

A run holds its slot until it has an outcome.
"""
