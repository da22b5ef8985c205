"""The Celery tasks of this app. Their jobs' keys name channel and notice, `sms:shipped:1001`, or delivery and
round, `webhook:7-1`."""

from backroom import task
from notifications import browsers, delivery, retention
from notifications.endpoints import sending
from notifications.endpoints.jobs import SCHEDULE
from notifications.kinds import PATIENT, PROMPT
from notifications.models import Channel


@task(name="notifications.send_mail", retry=PATIENT)
def send_mail(notice: int) -> None:
    delivery.send(notice, Channel.MAIL)


@task(name="notifications.send_sms", retry=PROMPT)
def send_sms(notice: int) -> None:
    delivery.send(notice, Channel.SMS)


@task(name="notifications.send_push", retry=PROMPT)
def send_push(notice: int) -> None:
    delivery.send(notice, Channel.PUSH)


@task(name="notifications.subscribe_stand_in", queue="critical", retry=PATIENT)
def subscribe_stand_in(user: int) -> None:
    browsers.subscribe_stand_in(user)


@task(name="notifications.send_webhook", queue="webhooks", retry=SCHEDULE)
def send_webhook(delivery: int, round: int) -> None:
    sending.send(delivery, round)


@task(name="notifications.purge", queue="bulk")
def purge() -> int:
    """Delete old notices and events."""
    return retention.purge()
