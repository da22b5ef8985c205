"""The lab's page as strangers, other sites and the impatient may ask for it. What its buttons do: tests/browser."""

from collections.abc import Iterator

import pytest
from django.test import Client, override_settings

from lab.state_files import Board


@pytest.fixture
def board(settings, tmp_path) -> Iterator[Board]:
    """The demo's settings, on a folder without a lab's process."""
    demo = override_settings(
        DEBUG=True,
        VAR=tmp_path,
        ROOT_URLCONF="lab.urls",
        ALLOWED_HOSTS=["127.0.0.1", "localhost", "[::1]"],
    )
    # One after the other: the lab looks at the settings while it is installed.
    with demo, override_settings(INSTALLED_APPS=["lab", *settings.INSTALLED_APPS]):
        yield Board(tmp_path)


@pytest.fixture
def client() -> Client:
    return Client(enforce_csrf_checks=True, headers={"host": "127.0.0.1:8000"})


def token(client: Client) -> dict[str, str]:
    client.get("/lab/")
    return {"X-CSRFToken": client.cookies["csrftoken"].value}


@pytest.mark.django_db  # the page that says so shows the shelves
def test_a_post_without_the_token_does_nothing(board: Board, client: Client):
    for path in ("begin/kill-web", "stop", "customers"):
        assert client.post(f"/lab/{path}/").status_code == 403
    assert (board.wished(), board.stopped(), board.open_until()) == ("", False, 0)


def test_a_get_presses_no_button(board: Board, client: Client):
    for path in ("begin/kill-web", "stop", "customers"):
        assert client.get(f"/lab/{path}/").status_code == 405
    assert board.wished() == ""


def test_a_name_that_points_here_from_elsewhere_is_refused(board: Board, client: Client):
    """DNS rebinding: the browser takes it for its own site, so a token would be no obstacle."""
    assert client.get("/lab/", headers={"host": "rebound.example:8000"}).status_code == 400
    assert client.get("/lab/live/", headers={"host": "rebound.example:8000"}).status_code == 400


def test_a_second_press_is_told_what_is_under_way(board: Board, client: Client):
    given = token(client)
    first = client.post("/lab/begin/kill-web/", headers={**given, "HX-Request": "true"})
    assert "The web dies after the charge" in first.text
    second = client.post("/lab/begin/flood/", headers={**given, "HX-Request": "true"})
    assert "One thing at a time: “The web dies after the charge” is still under way." in second.text
    assert board.wished() == "kill-web"


def test_without_javascript_a_press_leads_back_to_the_page(board: Board, client: Client):
    assert client.post("/lab/begin/flood/", headers=token(client)).headers["Location"] == "/lab/"


def test_there_are_no_other_experiments_and_no_other_files(board: Board, client: Client):
    given = token(client)
    assert client.post("/lab/begin/format-the-disk/", headers=given).status_code == 404
    assert client.get("/lab/code/backroom/runtime/scheduler.py").status_code == 200
    for file in ("shop/settings.py", "../var/env", "var/env"):
        assert client.get(f"/lab/code/{file}").status_code == 404


def test_the_part_that_changes_needs_no_database(board: Board, client: Client):
    """No database fixture: a query would fail this test."""
    board.tell({"at": 0, "variant": "naive"})
    answer = client.get("/lab/live/")
    assert answer.status_code == 200
    assert 'data-variant="naive"' in answer.text
    assert "has said nothing" in answer.text


def test_customers_are_let_in_for_a_while_and_sent_away(board: Board, client: Client):
    given = token(client)
    client.post("/lab/customers/", headers=given)
    assert board.open_until() > 0
    client.post("/lab/customers/", headers=given)
    assert board.open_until() == 0
