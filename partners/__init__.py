"""The outside world in one process, with faults: payments, warehouse, fraud, analytics, mail, SMS, push, supplier and
accounting, and the receiver of a customer who takes webhooks.

It imports no other room and keeps its own records, so an audit can compare the shop with them.
"""
