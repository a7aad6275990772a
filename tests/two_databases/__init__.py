"""The app's tables in a database of their own: run by ``tests/acceptance/test_two_databases.py``."""
