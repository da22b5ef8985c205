"""Webhooks out: a person's endpoints, the events that they get, and each delivery."""
