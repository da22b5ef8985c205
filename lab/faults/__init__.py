"""Faults, load and the shops without a ledger, for lab and tests. It imports nothing of the lab above it."""

LEDGERED, NAIVE, CHECKLIST = "ledgered", "naive", "checklist"  # the shops; lab/faults/naive is the code of the last two
