"""Prefect in an environment of its own."""
