"""The outside world in one process: payments, warehouse, fraud review, analytics, mail, SMS and push, with faults.

It imports no other room and keeps its own records, so an audit can compare the shop with them.
"""
