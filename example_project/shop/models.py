from __future__ import annotations

from django.db import models


class Shipment(models.Model):
    """What has left the house. An order is shipped once, however often its task runs."""

    order = models.PositiveIntegerField(unique=True)
    total = models.DecimalField(max_digits=12, decimal_places=2)
    approved_by = models.CharField(max_length=150, blank=True)
    shipped_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["order"]
        permissions = [("approve_order", "Can approve that an order is shipped")]

    def __str__(self) -> str:
        return f"shipment of order {self.order}"
