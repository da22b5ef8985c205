"""How each experiment breaks something. A scenario causes the fault and returns its check (lab/checks.py)."""
