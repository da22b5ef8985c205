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
from lab.faults import CHECKLIST, LEDGERED, NAIVE
from lab.runner import RECONCILE, SWITCHES
from lab.state_files import Busy, StateFiles

DOWN_AFTER = 10  # seconds without a write by the lab's process
LOAD_FOR = 300  # seconds
SHOPS = {LEDGERED: "With ledger", CHECKLIST: "Checklist", NAIVE: "Naive"}
TITLES = {f"switch-{shop}": f"Switch to: {label}" for shop, label in SHOPS.items()} | {RECONCILE: "Reconcile now"}
NEEDS_LEDGER = "The reconciler repairs with jobs of the ledger. Press “Run with ledger” first."
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
    """Request an experiment, another shop or the reconciler."""
    if name not in (*BY_SLUG, *SWITCHES, RECONCILE):
        raise Http404
    if name == RECONCILE and running() != LEDGERED:
        return answer(request, NEEDS_LEDGER)
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
    """A file that an experiment names, with line numbers and with its excerpts marked. Other files are 404."""
    shown = [one for experiment in ALL for one in experiment.code.values() if one.file == file]
    if not shown:
        raise Http404
    lines = (Path(settings.BASE_DIR) / file).read_text().splitlines()
    marked = {number for one in shown for number in range(one.first, one.last + 1)}
    numbered = [(number, line, number in marked) for number, line in enumerate(lines, 1)]
    return render(request, "lab/code.html", {"file": file, "lines": numbered})


def answer(request: HttpRequest, notice: str) -> HttpResponse:
    """The notice and the part that changes, or the page for a browser without JavaScript."""
    if request.headers.get("HX-Request"):
        return HttpResponse(part() + render_to_string("lab/_notice.html", {"notice": notice, "swap": True}))
    if notice:
        messages.info(request, notice)
    return redirect("lab:page")


def part() -> str:
    """Rendered without the request, whose context processors read the cart from the database."""
    return render_to_string("lab/_live.html", state())


def title(name: str) -> str:
    """The title of an experiment or switch, for people."""
    return TITLES.get(name) or (BY_SLUG[name].title if name in BY_SLUG else name)


def running() -> str:
    """The shop that runs, by the lab's process."""
    return StateFiles(settings.VAR).read().get("variant", LEDGERED)


def state() -> dict[str, Any]:
    files = StateFiles(settings.VAR)
    found, requested = files.read(), files.requested()
    run = found.get("run")
    if requested and (not run or run["outcome"]):
        run = {"slug": requested, "outcome": "", "lines": [], "said": ""}
    shop, history, checkout = found.get("variant", LEDGERED), found.get("history", []), found.get("checkout_s")
    return {
        "down": time.time() - found.get("at", 0) > DOWN_AFTER,
        "trouble": found.get("trouble", ""),
        "shop": shop,
        "label": SHOPS[shop],
        "busy": bool(requested),
        "run": run and shown(run, run.get("variant", shop)),
        "history": [one | {"label": SHOPS[one["shop"]]} for one in history if one["end"]],
        "now": history[-1]["now"] if history else {},
        "checkout_ms": None if checkout is None else round(checkout * 1000),
        "load": files.load_until(),
        "shops": SHOPS.values(),
        "results": [results_of(experiment.slug, found) for experiment in ALL],
    }


def shown(run: dict[str, Any], shop: str) -> dict[str, Any]:
    """A run with the shop that it is of, and what the experiment's card says about that shop."""
    experiment = BY_SLUG.get(run["slug"])
    expect = getattr(experiment, "expect" if shop == LEDGERED else shop) if experiment else ""
    return run | {"shop": shop, "title": title(run["slug"]), "expect": expect}


def results_of(slug: str, found: dict[str, Any]) -> dict[str, Any]:
    """An experiment's latest result in each shop."""
    results = found.get("results", {}).get(slug, {})
    cells = [{"shop": shop, "label": label, **results.get(shop, NOT_RUN)} for shop, label in SHOPS.items()]
    return {"slug": slug, "title": BY_SLUG[slug].title, "cells": cells}
