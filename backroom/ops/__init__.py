"""Operations: pages, metrics, alerts and commands for staff. The ledger works without this app.

Its pages read the ledger's indexes and the per-minute tables, and change jobs through audit_log.py alone.
"""
