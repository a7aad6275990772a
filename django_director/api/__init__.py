"""The REST API. Projects without Django REST framework import nothing from here."""
