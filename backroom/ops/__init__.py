"""Operations: staff's pages about the back room. They look through the ledger's indexes and the tables of minutes, and
act through backroom/ops/audit_log.py alone."""
