"""Mails that a person waits for: a confirmation, and a test. notifications/mail.py's errors pass through."""

from django.conf import settings
from django.contrib.auth.models import User
from django.urls import reverse

from marketing import campaigns, subscriptions
from marketing.models import Campaign, Subscription
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
            "topics": subscriptions.named(topics.split(",")),
            "url": subscriptions.confirm_url(subscription, topics),
            "hours": subscriptions.HOURS,
        },
        patience=mail.URGENT,
        person=subscription.person,
    )


def send_test(id: int, user_id: int, slot: int) -> None:
    """A campaign as its recipients get it, but for the link to unsubscribe. Does nothing for one that is deleted."""
    campaign, user = Campaign.objects.filter(pk=id).first(), User.objects.filter(pk=user_id).first()
    if campaign is None or user is None:
        return
    mail.send(
        key=f"campaign-test:{id}-{user_id}-{slot}",
        to=user.email,
        subject=f"[Test] {campaign.subject}",
        template=campaigns.TEMPLATE,
        context=campaigns.context(campaign) | sample(),
        patience=mail.URGENT,
        person=str(user_id),
    )


def sample() -> dict[str, str]:
    """What a recipient's own mail has: the topic, and a link, here to the page of subscribing."""
    url = settings.SITE_URL + reverse("marketing:newsletter")
    return {"topic": subscriptions.TOPICS["newsletter"], "unsubscribe_url": url}
