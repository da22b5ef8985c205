"""The mail about an endpoint that was switched off."""

from django.conf import settings
from django.contrib.auth.models import User
from django.urls import reverse

from notifications.endpoints.models import Endpoint
from notifications.kinds import Message


def switched_off(about: str, user: User | None) -> Message | None:
    """For notifications/kinds.py. `about` is the endpoint's id and the time. None if it works again, or is deleted."""
    endpoint = Endpoint.objects.filter(pk=about.partition("-")[0], state=Endpoint.State.OFF).first()
    if endpoint is None or user is None or not user.is_active:
        return None
    url = settings.SITE_URL + reverse("accounts:webhook", args=[endpoint.pk])
    return Message(
        to=user.email,
        subject="Your webhook endpoint is switched off",
        template="notifications/mail/endpoint_off",
        context={"endpoint": endpoint, "url": url},
        short="Your webhook endpoint is switched off.",
        url=url,
    )
