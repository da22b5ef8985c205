"""The lab's page. It only leaves wishes on the board and shows what stands there (lab/state_files.py), so it is as well when
broker, workers or this very process were broken a moment ago; and nobody who gets at it gets at a process.

Open to whoever reaches the demo's port on the loopback. A page of another site can't press a button here: each is a
POST with a CSRF token, and the address is answered under the loopback's names only (lab/settings.py).
"""

import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_GET, require_POST

from lab.experiments import ALL, BY_SLUG
from lab.runner import SWITCHES
from lab.state_files import Board, Busy

SILENT = 10  # seconds without a word after which the lab's process counts as gone
OPEN_FOR = 300  # seconds for which customers come
TITLES = {
    "switch-naive": "Switching to the naive shop",
    "switch-ledgered": "Switching back to the shop with its ledger",
}
NOT_YET = {"outcome": "", "said": "not tried yet", "seconds": 0.0}


@never_cache
@require_GET
@ensure_csrf_cookie
def page(request: HttpRequest) -> HttpResponse:
    """All of it."""
    return render(request, "lab/page.html", {"experiments": ALL, **context()})


@never_cache
@require_GET
def live(request: HttpRequest) -> HttpResponse:
    """What changes each second."""
    return HttpResponse(part())


@require_POST
def begin(request: HttpRequest, name: str) -> HttpResponse:
    """Do an experiment, or switch to the other shop."""
    if name not in BY_SLUG and name not in SWITCHES:
        raise Http404
    try:
        Board(settings.VAR).wish(name)
        notice = ""
    except Busy as busy:
        notice = (
            f"One thing at a time: “{title(str(busy))}” is still under way. Wait for its end, or put everything right."
        )
    return answer(request, notice)


@require_POST
def stop(request: HttpRequest) -> HttpResponse:
    """Put everything right, now."""
    Board(settings.VAR).stop()
    return answer(request, "Everything is being put right.")


@require_POST
def customers(request: HttpRequest) -> HttpResponse:
    """Let customers in for some minutes, or send them away."""
    board = Board(settings.VAR)
    board.let_in(0 if board.open_until() else OPEN_FOR)
    return answer(request, "")


@require_GET
def code(request: HttpRequest, file: str) -> HttpResponse:
    """A file that an experiment names, with its lines numbered; no other."""
    if file not in {experiment.code for experiment in ALL}:
        raise Http404
    lines = (Path(settings.BASE_DIR) / file).read_text().splitlines()
    return render(request, "lab/code.html", {"file": file, "lines": lines})


def answer(request: HttpRequest, notice: str) -> HttpResponse:
    """What follows a press: the part that changes, or for browsers without JavaScript the page."""
    if request.headers.get("HX-Request"):
        return HttpResponse(part(notice))
    if notice:
        messages.info(request, notice)
    return redirect("lab:page")


def part(notice: str = "") -> str:
    """Without the request's context, which would ask the database for the cart."""
    return render_to_string("lab/_live.html", {**context(), "notice": notice})


def title(name: str) -> str:
    return TITLES.get(name) or (BY_SLUG[name].title if name in BY_SLUG else name)


def context() -> dict[str, Any]:
    """How things stand."""
    board = Board(settings.VAR)
    state, wished = board.told(), board.wished()
    run = state.get("run")
    if wished and (not run or run["outcome"]):
        run = {"slug": wished, "outcome": "", "lines": [], "said": "", "since": time.time()}
    books = state.get("books", {})
    checkout = state.get("checkout_s")
    return {
        "silent": time.time() - state.get("at", 0) > SILENT,
        "trouble": state.get("trouble", ""),
        "naive": state.get("variant") == "naive",
        "busy": bool(wished),
        "run": run and run | {"title": title(run["slug"]), "experiment": BY_SLUG.get(run["slug"])},
        "books": [{"name": name, "label": label, **books[name]} for name, label in LABELS.items() if name in books],
        "now": books.get(state.get("variant", ""), {}),
        "checkout_ms": None if checkout is None else round(checkout * 1000),
        "open_until": board.open_until(),
        "results": [results_of(experiment.slug, state) for experiment in ALL],
    }


LABELS = {"ledgered": "with its ledger", "naive": "naive"}


def results_of(slug: str, state: dict[str, Any]) -> dict[str, Any]:
    """An experiment's last outcome in each variant."""
    found = state.get("results", {}).get(slug, {})
    return {"slug": slug, "title": BY_SLUG[slug].title, **{name: found.get(name, NOT_YET) for name in LABELS}}
