"""Sizes of the shapes that the suite ``others`` asks Airflow for: each is a DAG of its own."""

CHAINS = (3, 20)
FANS = (200,)
MAPS = (50,)
