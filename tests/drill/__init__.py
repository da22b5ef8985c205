"""`make deploy-drill`: a rolling deploy and its rollback under load, two releases beside each other, and an audit.

It does what a person does on a machine of their own: a folder for each release, a link to the current one, and
supervisorctl. docs/deploying.md tells it step by step.
"""
