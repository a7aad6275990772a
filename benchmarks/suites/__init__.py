"""What is measured, a module for each question; each has ``run(places, repeat) -> Outcome``."""
