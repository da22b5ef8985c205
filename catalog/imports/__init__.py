"""Products from a file of 200,000 rows: read, checked, applied in small jobs, and undone."""
