"""The mails of subscriptions and campaigns. notifications/mail.py sends them, and its errors pass through."""

from marketing import subscriptions
from marketing.models import Subscription
from notifications import mail


def send_confirmation(id: int, topics: str, slot: int) -> None:
    """The link that subscribes, made now. Does nothing for an address that is erased."""
    subscription = Subscription.objects.filter(pk=id).first()
    if subscription is None:
        return
    mail.send(
        key=f"confirm:{id}-{topics}-{slot}",
        to=subscription.email,
        subject="Confirm your subscription",
        template="marketing/mail/confirm",
        context={
            "topics": " and ".join(subscriptions.TOPICS[topic] for topic in topics.split(",")),
            "url": subscriptions.confirm_url(subscription, topics),
            "hours": subscriptions.HOURS,
        },
        patience=mail.URGENT,
        person=subscription.person,
    )
