"""Newsletters, digests and reminders: mail that no person waits for, to people who asked for it."""
