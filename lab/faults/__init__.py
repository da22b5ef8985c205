"""Faults, load and the shop without a ledger, for the lab and for the tests. It imports nothing of the lab above it."""
