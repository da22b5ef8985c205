"""What the ledger costs and saves, as ratios measured side by side in one run. Never a test: machines are noisy."""
