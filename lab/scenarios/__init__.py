"""How each experiment is brought about: an act breaks something and returns its judge (lab/checks.py)."""
