"""The lab's page. It writes requests to files and shows the state in them (lab/state_files.py), so it needs neither the
broker nor the workers, and it can't signal a process.

Every client of the demo's loopback port may use it. Pages of other sites can't: each button is a POST with a CSRF
token, and only the loopback's host names are answered (lab/settings.py).
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
from lab.state_files import Busy, StateFiles

DOWN_AFTER = 10  # seconds without a write by the lab's process
LOAD_FOR = 300  # seconds
TITLES = {"switch-naive": "Switch to no ledger", "switch-ledgered": "Switch to the ledger"}
LABELS = {"ledgered": "with its ledger", "naive": "without a ledger"}
NOT_RUN = {"outcome": "", "said": "not run yet", "seconds": 0.0}


@never_cache
@require_GET
@ensure_csrf_cookie
def page(request: HttpRequest) -> HttpResponse:
    return render(request, "lab/page.html", {"experiments": ALL, **state()})


@never_cache
@require_GET
def live(request: HttpRequest) -> HttpResponse:
    """The part that changes each second."""
    return HttpResponse(part())


@require_POST
def begin(request: HttpRequest, name: str) -> HttpResponse:
    """Request an experiment, or the other shop."""
    if name not in BY_SLUG and name not in SWITCHES:
        raise Http404
    notice = ""
    try:
        StateFiles(settings.VAR).submit(name)
    except Busy as busy:
        notice = f"“{title(str(busy))}” is still in progress. Wait for its end, or press “Stop and restore”."
    return answer(request, notice)


@require_POST
def stop(request: HttpRequest) -> HttpResponse:
    StateFiles(settings.VAR).request_stop()
    return answer(request, "Ending all faults and restarting processes that are down.")


@require_POST
def customers(request: HttpRequest) -> HttpResponse:
    """Start the load, or end it."""
    files = StateFiles(settings.VAR)
    files.set_load(0 if files.load_until() else LOAD_FOR)
    return answer(request, "")


@require_GET
def code(request: HttpRequest, file: str) -> HttpResponse:
    """A file that an experiment names, with line numbers. Other files are 404."""
    if file not in {experiment.code for experiment in ALL}:
        raise Http404
    lines = (Path(settings.BASE_DIR) / file).read_text().splitlines()
    return render(request, "lab/code.html", {"file": file, "lines": lines})


def answer(request: HttpRequest, notice: str) -> HttpResponse:
    """The part that changes, or the page for a browser without JavaScript."""
    if request.headers.get("HX-Request"):
        return HttpResponse(part(notice))
    if notice:
        messages.info(request, notice)
    return redirect("lab:page")


def part(notice: str = "") -> str:
    """Rendered without the request, whose context processors read the cart from the database."""
    return render_to_string("lab/_live.html", {**state(), "notice": notice})


def title(name: str) -> str:
    """The title of an experiment or switch, for people."""
    return TITLES.get(name) or (BY_SLUG[name].title if name in BY_SLUG else name)


def state() -> dict[str, Any]:
    files = StateFiles(settings.VAR)
    found, requested = files.read(), files.requested()
    run = found.get("run")
    if requested and (not run or run["outcome"]):
        run = {"slug": requested, "outcome": "", "lines": [], "said": ""}
    totals, checkout = found.get("totals", {}), found.get("checkout_s")
    return {
        "down": time.time() - found.get("at", 0) > DOWN_AFTER,
        "trouble": found.get("trouble", ""),
        "naive": found.get("variant") == "naive",
        "busy": bool(requested),
        "run": run and run | {"title": title(run["slug"]), "experiment": BY_SLUG.get(run["slug"])},
        "totals": [{"label": label, **totals[name]} for name, label in LABELS.items() if name in totals],
        "now": totals.get(found.get("variant", ""), {}),
        "checkout_ms": None if checkout is None else round(checkout * 1000),
        "load": files.load_until(),
        "results": [results_of(experiment.slug, found) for experiment in ALL],
    }


def results_of(slug: str, found: dict[str, Any]) -> dict[str, Any]:
    """An experiment's latest result in each variant."""
    results = found.get("results", {}).get(slug, {})
    return {"slug": slug, "title": BY_SLUG[slug].title, **{name: results.get(name, NOT_RUN) for name in LABELS}}
