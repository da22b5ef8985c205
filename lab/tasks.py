"""The lab's own jobs: one that kills its worker, a newsletter's mails, and a password reset's mail."""

import os

from backroom import Retry, task
from lab.poison import Poison
from notifications import mail


@task(name="lab.poison", retry=Retry(attempts=2, first=1))
def poison(name: str) -> str:
    """Kill the process that runs it, as a crashing library does, while its switch is armed."""
    switch = Poison(name)
    switch.count_run()
    if switch.armed():
        os._exit(1)
    return "harmless now"


@task(name="lab.mail_campaign", queue="bulk", key="campaign:{number}", retry=Retry(attempts=3))
def mail_campaign(number: str) -> None:
    """One of many mails that are not urgent."""
    key, template = f"campaign:{number}", "lab/mail/campaign"
    mail.send(key=key, to="reader@example.org", subject="Everything green", template=template, context={})


@task(name="lab.mail_reset", queue="critical", key="reset:{number}", retry=Retry(attempts=3))
def mail_reset(number: str) -> None:
    """A mail for which a person waits."""
    key, to, template = f"reset:{number}", "customer@example.org", "lab/mail/reset"
    mail.send(key=key, to=to, subject="Reset your password", template=template, context={}, patience=mail.URGENT)
