"""Programs for those who work on this project. None is a part of the package."""
