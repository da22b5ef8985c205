"""One mail of many, to a subscriber: at a rate of its own below the mail server's, and with a way out (RFC 8058)."""

from collections.abc import Mapping
from typing import Any

from backroom.outbound import breaker
from marketing import subscriptions
from marketing.models import Subscription
from notifications import mail

RATE = "campaign"  # in BACKROOM_PARTNER_RATES


def send(
    key: str, subscription: Subscription, topic: str, subject: str, template: str, context: dict[str, Any],
    headers: Mapping[str, str] | None = None,
) -> None:  # fmt: skip
    """Send one mail of a topic. Its template extends marketing/mail/base.html and .txt, whose end names the topic and
    links to its unsubscription. Raises Away while the rate is reached, and what mail.send does."""
    breaker.pace(RATE)
    url = subscriptions.unsubscribe_url(subscription, topic)
    mail.send(
        key=key,
        to=subscription.email,
        subject=subject,
        template=template,
        context={**context, "topic": subscriptions.TOPICS[topic], "unsubscribe_url": url},
        headers={
            "List-Unsubscribe": f"<{url}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
            **(headers or {}),
        },
        person=subscription.person,
    )
