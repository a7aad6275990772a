from django.contrib import admin

from .models import Order, Return


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):
    list_display = ["number", "ordered_on", "customer", "country", "item", "quantity", "net", "tax", "shipping"]
    list_filter = ["country"]
    date_hierarchy = "ordered_on"
    search_fields = ["number", "customer", "item"]


@admin.register(Return)
class ReturnAdmin(admin.ModelAdmin):
    list_display = ["order", "returned_on", "reason", "refund"]
    list_select_related = ["order"]
