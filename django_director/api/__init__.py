"""The REST API, on Django REST framework; nothing here is imported where that is not installed."""
