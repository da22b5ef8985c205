"""One notice, from the warehouse's webhook through real workers to the SMS partner, and by its webhook back."""

import pytest
import urllib3
from django.conf import settings
from django.contrib.auth.models import User

from notifications.models import Channel, Contact, Notice
from orders.models import Order
from tests.cluster import Cluster
from tests.integration.buying import effects
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.django_db]

# The last digits tell the partner what becomes of it: arrives, is reported as failed, is refused at once.
REACHED = {
    "+353861234567": {Channel.SMS},
    "+353861231111": {Channel.SMS, Channel.MAIL},
    "+353861230000": {Channel.MAIL},
}


def bought(house: Cluster, phone: str) -> int:
    """The number of an order that is in the warehouse, of a person who chose SMS."""
    number = int(house.order().json()["number"])
    person = User.objects.create(username=phone)
    Contact.objects.create(user=person, channel=Channel.SMS, phone=phone)
    Order.objects.filter(pk=number).update(user=person)
    until(lambda: effects(key=f"shipment:{number}"), what=f"the shipment of {number}")
    return number


def test_a_notice_reaches_the_phone_or_by_the_partners_report_the_mailbox(house: Cluster):
    numbers = {bought(house, phone): phone for phone in REACHED}
    for number in numbers:
        address = f"{settings.BACKROOM_PARTNERS_URL}/warehouse/shipments/{number}/events"
        assert urllib3.request("POST", address, json={"type": "shipment.shipped"}).status < 300
    for number, phone in numbers.items():
        state = Notice.State.ACCEPTED if Channel.MAIL in REACHED[phone] else Notice.State.DELIVERED
        done = Notice.objects.filter(key=f"shipped:{number}", state=state)
        until(lambda done=done, phone=phone: done.exists() and len(effects(key=done[0].key)) == len(REACHED[phone]))
        assert effects(key=done[0].key) == {f"{each}/shipped {done[0].key}": 1 for each in REACHED[phone]}
