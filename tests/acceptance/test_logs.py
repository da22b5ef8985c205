"""The log as a machine reads it, of all processes together."""

import json

import pytest

from tests.acceptance.conftest import in_state
from tests.cluster import CUSTOMER, Cluster
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.django_db]


def lines_of(house: Cluster, id: str) -> list[dict]:
    """Every line that belongs to a request, from every process."""
    texts = [line for file in house.logs.glob("*.log") for line in file.read_text().splitlines() if id in line]
    return [json.loads(text) for text in texts]


def test_the_id_of_a_request_finds_its_line_and_those_of_all_its_jobs_in_the_logs(house: Cluster):
    answer = house.order()
    number = answer.json()["number"]
    id, kinds = answer.headers["X-Request-ID"], ("invoice", "receipt", "loyalty")
    until(lambda: ended(house, id) >= {(f"{kind}:{number}", "succeeded") for kind in kinds})
    routes = [(line["route"], line["order"]) for line in lines_of(house, id) if line["event"] == "request"]
    assert routes == [("api/orders", number)]


def ended(house: Cluster, id: str) -> set[tuple[str, str]]:
    """The key and the outcome of each attempt; its line comes a moment after its end in the ledger."""
    return {(line["key"], line["outcome"]) for line in lines_of(house, id) if line["event"] == "attempt"}


def test_every_line_is_json_and_none_holds_who_bought(house: Cluster):
    until(in_state(f"receipt:{house.order().json()['number']}", "succeeded"))
    for name in ("web", "worker-critical", "worker-default", "worker-bulk", "dispatcher"):
        text = (house.logs / f"{name}.log").read_text()
        for line in text.splitlines():
            if line.startswith("{") or not name.startswith("worker"):  # Celery prints a banner, past any logging
                assert json.loads(line)["event"], name
        for field in ("email", "name", "address"):
            assert CUSTOMER[field] not in text, name
