"""The Celery tasks of this room. Each runs one verb."""

from backroom import task
from marketing import mails
from marketing.subscriptions import MAIL_CONFIRMATION, PATIENT


@task(
    name=MAIL_CONFIRMATION, queue="critical", key="confirm:{subscription}-{topics}-{slot}", retry=PATIENT
)  # fmt: skip
def mail_confirmation(subscription: int, topics: str, slot: int) -> None:
    """Ask the owner of an address whether they want these topics."""
    mails.send_confirmation(subscription, topics, slot)
