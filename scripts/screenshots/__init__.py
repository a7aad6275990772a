"""Takes pictures of the admin's pages in one situation that is made for it: ``make screenshots``."""
