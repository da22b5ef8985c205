"""The outside world in one process: payments, warehouse, fraud, analytics and a mail server, with faults.

It imports none of the other rooms and keeps its own records, so that an audit can hold the shop against them.
"""
