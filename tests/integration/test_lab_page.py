"""The lab's page under odd requests: no token, other sites, two at once. For its buttons: tests/browser/test_lab.py."""

import re
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from django.test import Client, override_settings
from django.utils.html import escape

from lab.experiments import ALL
from lab.state_files import StateFiles
from lab.totals import Totals
from tests.integration.buying import buy, product


@pytest.fixture
def files(settings, tmp_path) -> Iterator[StateFiles]:
    """The demo's settings, on a folder without a lab's process."""
    demo = override_settings(
        DEBUG=True,
        VAR=tmp_path,
        ROOT_URLCONF="lab.urls",
        ALLOWED_HOSTS=["127.0.0.1", "localhost", "[::1]"],
    )
    # One after the other: the lab checks the other settings while it is installed.
    with demo, override_settings(INSTALLED_APPS=["lab", *settings.INSTALLED_APPS]):
        yield StateFiles(tmp_path)


@pytest.fixture
def client() -> Client:
    return Client(enforce_csrf_checks=True, headers={"host": "127.0.0.1:8000"})


def token(client: Client) -> dict[str, str]:
    client.get("/lab/")
    return {"X-CSRFToken": client.cookies["csrftoken"].value}


@pytest.mark.django_db  # the error page lists products
def test_a_post_without_the_token_does_nothing(files: StateFiles, client: Client):
    for path in ("begin/kill-web", "stop", "customers"):
        assert client.post(f"/lab/{path}/").status_code == 403
    assert (files.requested(), files.take_stop(), files.load_until()) == ("", False, 0)


def test_a_get_requests_nothing(files: StateFiles, client: Client):
    for path in ("begin/kill-web", "stop", "customers"):
        assert client.get(f"/lab/{path}/").status_code == 405
    assert files.requested() == ""


@pytest.mark.django_db
def test_another_host_name_is_rejected(files: StateFiles, client: Client):
    """DNS rebinding: for the browser it is the same site, so it would send the token."""
    assert client.get("/lab/", headers={"host": "rebound.example:8000"}).status_code == 400
    assert client.get("/lab/live/", headers={"host": "rebound.example:8000"}).status_code == 400


def test_a_second_request_names_the_one_in_progress(files: StateFiles, client: Client):
    given = token(client)
    first = client.post("/lab/begin/kill-web/", headers={**given, "HX-Request": "true"})
    assert "The web dies after the charge" in first.text
    second = client.post("/lab/begin/flood/", headers={**given, "HX-Request": "true"})
    assert "“The web dies after the charge” is still in progress." in second.text
    assert files.requested() == "kill-web"


def test_without_javascript_a_button_redirects_to_the_page(files: StateFiles, client: Client):
    assert client.post("/lab/begin/flood/", headers=token(client)).headers["Location"] == "/lab/"


@pytest.mark.django_db
def test_there_are_no_other_experiments_and_no_other_files(files: StateFiles, client: Client):
    given = token(client)
    assert client.post("/lab/begin/format-the-disk/", headers=given).status_code == 404
    assert client.get("/lab/code/backroom/runtime/scheduler.py").status_code == 200
    for file in ("shop/settings.py", "../var/env", "var/env"):
        assert client.get(f"/lab/code/{file}").status_code == 404


@pytest.mark.django_db
def test_each_card_shows_the_code_of_both_sides_and_links_to_its_lines(files: StateFiles, client: Client):
    page = client.get("/lab/").text
    for experiment in ALL:
        for one in experiment.code.values():
            assert f"<code>{escape(one.text)}</code>" in page
            address = f"/lab/code/{one.file}#L{one.first}"
            assert f'href="{address}"' in page
            code = client.get(address).text
            marked = [int(number) for number in re.findall(r'<li id="L(\d+)" class="marked">', code)]
            assert set(range(one.first, one.last + 1)) <= set(marked)


def test_the_table_of_results_has_a_column_for_each_shop_and_is_open(files: StateFiles, client: Client):
    result = {"outcome": "seen", "said": "Lost for good: shipment:7.", "seconds": 1.0}
    files.write({"at": 0, "variant": "checklist", "results": {"kill-worker": {"naive": result}}})
    text = client.get("/lab/live/").text
    assert "<details" not in text
    row = text.partition('data-result="kill-worker"')[2].partition("</tr>")[0]
    assert re.findall('data-variant="([a-z]+)"', row) == ["ledgered", "checklist", "naive"]
    assert "Lost for good: shipment:7." in row.partition('data-variant="naive"')[2]


@pytest.mark.parametrize(
    ("slug", "seen", "failed"),
    [("kill-worker", "as expected, after 1.0 s", "not as expected"), ("switch-naive", "done, after 1.0 s", "failed")],
)
def test_only_a_run_with_an_expectation_ends_as_expected_or_not(files: StateFiles, client: Client, slug, seen, failed):
    for outcome, tag in ("seen", seen), ("failed", failed):
        run = {"slug": slug, "outcome": outcome, "said": "", "lines": [], "seconds": 1.0}
        files.write({"at": 0, "run": run})
        assert f">{tag}</span>" in client.get("/lab/live/").text


def test_the_reconciler_needs_the_ledger(files: StateFiles, client: Client):
    given = token(client) | {"HX-Request": "true"}
    files.write({"at": 0, "variant": "naive"})
    assert "Press “Run with ledger” first." in client.post("/lab/begin/reconcile/", headers=given).text
    assert files.requested() == ""
    files.write({"at": 0, "variant": "ledgered"})
    client.post("/lab/begin/reconcile/", headers=given)
    assert files.requested() == "reconcile"


@pytest.mark.django_db
def test_the_naive_shops_figures_stay_after_it_ran_again(partners: str):
    """With a broker that is away, so that no worker is asked for the messages that it holds."""
    product()
    totals = Totals(SimpleNamespace(broker="redis://127.0.0.1:9/0"), [])
    for shop in ("ledgered", "naive", "ledgered", "naive", "ledgered"):
        totals.start(shop)
        if shop == "naive":
            buy()
    totals.update()
    closed = [(period["shop"], period["end"]["orders"]) for period in totals.periods if period["end"]]
    assert closed == [("ledgered", 0), ("naive", 1), ("ledgered", 0), ("naive", 1)]


def test_the_part_that_changes_needs_no_database(files: StateFiles, client: Client):
    """No database fixture: a query would fail this test."""
    files.write({"at": 0, "variant": "naive"})
    answer = client.get("/lab/live/")
    assert answer.status_code == 200
    assert 'data-variant="naive"' in answer.text
    assert "has not reported" in answer.text


def test_one_button_starts_and_stops_the_load(files: StateFiles, client: Client):
    given = token(client)
    client.post("/lab/customers/", headers=given)
    assert files.load_until() > 0
    client.post("/lab/customers/", headers=given)
    assert files.load_until() == 0
