"""Measures the ledger's costs as ratios on one machine. No test asserts them, as machines differ."""
