"""Owns the template tags of this app: they let the index page of an admin site show the overview."""
