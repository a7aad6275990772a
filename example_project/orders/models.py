from __future__ import annotations

from django.db import models


class Order(models.Model):
    """An order as it was imported. Amounts are in euro."""

    number = models.CharField(max_length=20, unique=True)
    ordered_on = models.DateField()
    customer = models.CharField(max_length=100)
    country = models.CharField(max_length=2)
    item = models.CharField(max_length=100)
    quantity = models.PositiveIntegerField()
    net = models.DecimalField(max_digits=12, decimal_places=2)
    tax = models.DecimalField(max_digits=12, decimal_places=2)
    shipping = models.DecimalField(max_digits=12, decimal_places=2)

    class Meta:
        ordering = ["number"]

    def __str__(self) -> str:
        return self.number


class Return(models.Model):
    """Goods that came back. The refund is in euro."""

    order = models.OneToOneField(Order, on_delete=models.CASCADE, related_name="returned")
    returned_on = models.DateField()
    reason = models.CharField(max_length=200)
    refund = models.DecimalField(max_digits=12, decimal_places=2)

    class Meta:
        ordering = ["order__number"]

    def __str__(self) -> str:
        return f"return of {self.order_id}"
