"""Owns the way from workflow files to rows: which files a project has, which versions they become.

It starts nothing and changes no run.
"""
