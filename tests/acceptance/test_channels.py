"""Notices, from the warehouse's webhook through real workers to the partners, and by the webhook of SMS back."""

import pytest
import urllib3
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction

from notifications import browsers
from notifications.models import Channel, Contact, Notice
from orders.models import Order
from tests.cluster import Cluster
from tests.integration.buying import effects
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.django_db]

# The last digits tell the partner what becomes of it: arrives, is reported as failed, is refused at once. Without a
# number, the person chose the browser.
REACHED = {
    "+353861234567": {Channel.SMS},
    "+353861231111": {Channel.SMS, Channel.MAIL},
    "+353861230000": {Channel.MAIL},
    "": {Channel.PUSH},
}


def bought(house: Cluster, phone: str) -> int:
    """The number of an order that is in the warehouse, of a person who chose SMS or the browser."""
    number = int(house.order().json()["number"])
    person = User.objects.create(username=f"channels {phone}")
    Contact.objects.create(user=person, channel=Channel.SMS if phone else Channel.PUSH, phone=phone)
    if not phone:
        with transaction.atomic():
            browsers.ask_for_stand_in(person)
        until(person.push_subscriptions.exists, what="the partner's browser")
    Order.objects.filter(pk=number).update(user=person)
    until(lambda: effects(key=f"shipment:{number}"), what=f"the shipment of {number}")
    return number


def test_a_notice_reaches_the_phone_or_the_browser_and_by_the_partners_report_the_mailbox(house: Cluster):
    numbers = {bought(house, phone): phone for phone in REACHED}
    for number in numbers:
        address = f"{settings.BACKROOM_PARTNERS_URL}/warehouse/shipments/{number}/events"
        assert urllib3.request("POST", address, json={"type": "shipment.shipped"}).status < 300
    for number, phone in numbers.items():
        key = f"shipped:{number}"
        ends = Notice.State.DELIVERED if REACHED[phone] == {Channel.SMS} else Notice.State.ACCEPTED
        sent = {f"{channel}/shipped {key}": 1 for channel in REACHED[phone]}
        until(lambda key=key, sent=sent: effects(key=key) == sent, what=f"the effects of {phone}")
        until(Notice.objects.filter(key=key, state=ends).exists, what=f"the end of the notice to {phone}")
