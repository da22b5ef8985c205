"""`make deploy-drill`: a rolling deploy and its rollback under load, with two releases side by side, and an audit.

It does what an operator does on one machine: a folder for each release, a link to the current one, and supervisorctl.
docs/deploying.md has the steps.
"""
