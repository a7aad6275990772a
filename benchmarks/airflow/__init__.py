"""Airflow in an environment of its own."""
