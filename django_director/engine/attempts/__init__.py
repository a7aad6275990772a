"""Owns an attempt from its claim to its end: success, failure, a retry to come, a lost worker.

Every write asks for the claim.
"""
