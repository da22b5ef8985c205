"""The outside world in one process: payments, warehouse, fraud review, analytics and a mail server, with faults.

It imports no other room and keeps its own records, so an audit can compare the shop with them.
"""
