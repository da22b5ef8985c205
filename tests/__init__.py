"""unit: seconds, no servers · integration: real PostgreSQL, broker, partners · acceptance: real processes and signals
· browser: a real Chromium."""
