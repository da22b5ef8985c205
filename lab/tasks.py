"""Work that the lab gives the back room: a job that kills its worker, and mails of a campaign and of a password reset,
neither of which the shop itself has."""

import os

from backroom import Retry, task
from lab.poison import Poison
from notifications import mail


@task(name="lab.poison", retry=Retry(attempts=2, first=1))
def poison(name: str) -> str:
    """Kills the process that runs it, as a library that crashes does, for as long as the poison is there."""
    bottle = Poison(name)
    bottle.tasted()
    if bottle.full():
        os._exit(1)
    return "harmless now"


@task(name="lab.mail_campaign", queue="bulk", key="campaign:{number}", retry=Retry(attempts=3))
def mail_campaign(number: str) -> None:
    """One of many mails that nobody waits for."""
    mail.send(
        key=f"campaign:{number}",
        to="reader@example.org",
        subject="Everything green",
        template="lab/mail/campaign",
        context={},
    )


@task(name="lab.mail_reset", queue="critical", key="reset:{number}", retry=Retry(attempts=3))
def mail_reset(number: str) -> None:
    """A mail for which a person sits and waits."""
    mail.send(
        key=f"reset:{number}",
        to="customer@example.org",
        subject="Your new password",
        template="lab/mail/reset",
        context={},
        patience=mail.URGENT,
    )
