"""Owns the template tags of the admin's pages: the overview on an admin site's index page, and readable texts."""
