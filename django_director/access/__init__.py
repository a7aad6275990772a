"""Owns who may do what: one answer for the admin, the API and the commands.

It changes nothing and knows no face.
"""

from .authorization import by_permissions

__all__ = ["by_permissions"]
