"""The lab's page under odd requests: no token, other sites, two at once. For its buttons: tests/browser/test_lab.py."""

from collections.abc import Iterator

import pytest
from django.test import Client, override_settings

from lab.state_files import StateFiles


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


def test_there_are_no_other_experiments_and_no_other_files(files: StateFiles, client: Client):
    given = token(client)
    assert client.post("/lab/begin/format-the-disk/", headers=given).status_code == 404
    assert client.get("/lab/code/backroom/runtime/scheduler.py").status_code == 200
    for file in ("shop/settings.py", "../var/env", "var/env"):
        assert client.get(f"/lab/code/{file}").status_code == 404


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
