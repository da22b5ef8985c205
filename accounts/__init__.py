"""Customers' accounts, on django-allauth. This room never imports an order."""
