"""`/metrics` as Prometheus scrapes it."""

from django.test import Client
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

TOKEN = "only-for-these-tests-0123456789"
Labels = frozenset[tuple[str, str]]


def get(query: str = "", **headers: str):
    return Client().get(f"/metrics{query}", headers={"Authorization": f"Bearer {TOKEN}", **headers})


def families(query: str = "") -> list[Metric]:
    response = get(query)
    assert response.status_code == 200
    return list(text_string_to_metric_families(response.content.decode()))


class Scrape:
    """The samples of one scrape, by name and labels."""

    def __init__(self, query: str = "") -> None:
        self.samples: dict[tuple[str, Labels], float] = {}
        for family in families(query):
            for sample in family.samples:
                place = sample.name, frozenset(sample.labels.items())
                assert place not in self.samples, f"{place} is there twice: Prometheus would reject the scrape"
                self.samples[place] = sample.value

    def __call__(self, name: str, **labels: str) -> float | None:
        return self.samples.get((f"backroom_{name}", frozenset(labels.items())))
