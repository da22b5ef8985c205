"""PostgreSQL as production has it: a pooler, a standby, backups. Each test runs servers, and a shop, of its own."""
