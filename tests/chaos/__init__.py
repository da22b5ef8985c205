"""The crash matrix: real processes under load, hit on purpose at each boundary, and an audit after each."""
