"""An endpoint of an account, its receiver, and one attempt at a time."""

import pytest
from celery import current_app
from django.test import Client
from django.utils import timezone

from backroom.ledger.models import Job, State
from backroom.outbound import strangers
from notifications.endpoints.events import emit
from notifications.endpoints.jobs import SCHEDULE
from notifications.endpoints.models import Delivery, Endpoint
from tests.integration.accounts import account, fresh, sign_in, stranger
from tests.integration.buying import attempt
from tests.integration.receiver import receiving

current_app.loader.import_default_modules()  # as a worker does


@pytest.fixture(name="receiver")
def a_receiver(settings, monkeypatch):
    monkeypatch.setattr(strangers, "ANSWER", 0.25)
    with receiving() as receiver:
        settings.BACKROOM_STRANGERS_ALLOW = [receiver.allowed]
        settings.BACKROOM_PARTNER_RATES = {"endpoint": 1000}
        yield receiver


@pytest.fixture(name="endpoint")
def an_endpoint(receiver) -> Endpoint:
    return Endpoint.objects.create(user=account(fresh()), url=receiver.url)


@pytest.fixture(name="client")
def a_client(endpoint) -> Client:
    client = stranger()
    assert sign_in(client, endpoint.user.email).status_code == 302
    return client


def announce(endpoint: Endpoint, number: int = 1, type: str = "order.paid") -> Delivery:
    emit(endpoint.user_id, type, str(number), {"order": str(number)})
    return Delivery.objects.get(endpoint=endpoint, event__type=type, event__about=str(number))


def send(delivery: Delivery) -> Job:
    """One attempt, in its lane's place; the delivery and its endpoint are as they are then."""
    delivery.refresh_from_db()
    key = f"webhook:{delivery.pk}-{delivery.round}"
    Job.objects.filter(key=key, state=State.WAITING).update(state=State.READY, place=1, run_at=timezone.now())
    job = attempt(key)
    delivery.refresh_from_db()
    delivery.endpoint.refresh_from_db()
    return job


def used_up(delivery: Delivery) -> None:
    """As if its attempts but one had failed."""
    Job.objects.filter(key=f"webhook:{delivery.pk}-{delivery.round}").update(attempts=SCHEDULE.attempts - 1)
