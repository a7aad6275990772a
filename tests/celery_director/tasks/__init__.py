from . import docs, error, example, returns, success, time  # noqa: F401 - registers them
