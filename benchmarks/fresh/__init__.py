"""A project as `startproject` makes it, with nothing tuned, before and after django-director was added."""
